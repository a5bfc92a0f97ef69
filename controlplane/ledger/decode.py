"""One message of the usage stream -> its entries, and dead letters for what cannot be booked. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from google.protobuf.message import DecodeError

from controlplane.ledger.convert import InvalidEvent, entry_of
from controlplane.ledger.entries import WHOLE_MESSAGE, DeadLetter, Delivery, LedgerEntry
from tollway.kernel.usage import BOOT_ID_BITS, SEQUENCE_BITS
from tollway.usage.v1.usage_pb2 import UsageEvent, UsageEventBatch


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
            dead_letters.append(_dead_event(delivery, index, event, str(error)))
    return entries, dead_letters


def refuse(delivery: Delivery, entry: LedgerEntry, reason: str) -> Iterator[DeadLetter]:
    """Dead letters of every event in `delivery` that became `entry`, which the database refused."""
    batch = _batch(delivery.data)
    for index, event in enumerate(batch.events if batch else ()):
        if event.event_id == entry.event_id.bytes:
            yield _dead_event(delivery, index, event, reason)


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


def _dead_event(delivery: Delivery, index: int, event: UsageEvent, reason: str) -> DeadLetter:
    letter = dead_letter(delivery, index, event.SerializeToString(), reason)
    if 0 < event.boot_id < 1 << BOOT_ID_BITS and 0 < event.sequence < 1 << SEQUENCE_BITS:
        return replace(letter, boot_id=event.boot_id, sequence=event.sequence)
    return letter


def _batch(data: bytes) -> UsageEventBatch | None:
    try:
        batch = UsageEventBatch.FromString(data)
    except DecodeError:
        return None
    return batch if batch.events else None
