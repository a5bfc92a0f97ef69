"""One message of the usage stream -> its entries, and dead letters for what cannot be booked. Pure."""

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from controlplane.ledger.convert import InvalidEvent, entry_of
from controlplane.ledger.entries import WHOLE_MESSAGE, DeadLetter, Delivery, LedgerEntry
from tollway.usage.v1.usage_pb2 import UsageEventBatch


def decode(delivery: Delivery) -> tuple[list[LedgerEntry], list[DeadLetter]]:
    """The entries of a message and its dead letters: each event is in exactly one of them."""
    batch = _batch(delivery.data)
    if batch is None:
        return [], [dead_letter(delivery, WHOLE_MESSAGE, delivery.data, "not a UsageEventBatch with events")]
    entries: list[LedgerEntry] = []
    dead_letters: list[DeadLetter] = []
    for index, event in enumerate(batch.events):
        try:
            entries.append(entry_of(event))
        except InvalidEvent as error:
            dead_letters.append(dead_letter(delivery, index, event.SerializeToString(), str(error)))
    return entries, dead_letters


def refuse(delivery: Delivery, entry: LedgerEntry, reason: str) -> Iterator[DeadLetter]:
    """Dead letters of every event in `delivery` that became `entry`, which the database refused."""
    batch = _batch(delivery.data)
    for index, event in enumerate(batch.events if batch else ()):
        if event.event_id == entry.event_id.bytes:
            yield dead_letter(delivery, index, event.SerializeToString(), reason)


def dead_letter(delivery: Delivery, event_index: int, payload: bytes, reason: str) -> DeadLetter:
    """A dead letter of the event at `event_index` of `delivery`."""
    return DeadLetter(
        subject=delivery.subject,
        stream_sequence=delivery.stream_sequence,
        deliveries=delivery.deliveries,
        event_index=event_index,
        payload=payload,
        reason=reason,
    )


def _batch(data: bytes) -> UsageEventBatch | None:
    try:
        batch = UsageEventBatch.FromString(data)
    except DecodeError:
        return None
    return batch if batch.events else None
