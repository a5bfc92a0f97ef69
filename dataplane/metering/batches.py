"""Usage events gathered into messages: each event is serialised once, and a sealed batch never changes. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from dataplane.metering.wire import events_field
from tollway.usage.v1.usage_pb2 import UsageEvent

MAX_BATCH_EVENTS: Final = 256
MAX_BATCH_BYTES: Final = 64_000


@dataclass(frozen=True, slots=True)
class Batch:
    """The bytes of one UsageEventBatch, and the sequence numbers in it, which are contiguous.

    `message_id` is the same at every try of it; it ends in `suffix`, which is not empty for what NATS may know under
    the plain id and has lost. A batch without payload is in the spool alone, to be read when its turn comes.
    """

    first_sequence: int
    last_sequence: int
    payload: bytes = field(repr=False)
    message_id: str
    suffix: str = ""

    @property
    def events(self) -> int:
        return self.last_sequence - self.first_sequence + 1


class BatchBuilder:
    """Gathers serialised events of contiguous sequence numbers into batches within the two bounds.

    An event that is larger than a batch may be makes a batch of its own.
    """

    __slots__ = ("_boot_id", "_fields", "_first_sequence", "_size_bytes", "_suffix")

    def __init__(self, boot_id: int, first_sequence: int = 1, suffix: str = "") -> None:
        self._boot_id = boot_id
        self._suffix = suffix
        self._first_sequence = first_sequence
        self._fields: list[bytes] = []
        self._size_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._fields

    def add(self, event: bytes) -> Batch | None:
        """Take the next event; the batch that had no room for it, or None."""
        field = events_field(event)
        is_full = len(self._fields) >= MAX_BATCH_EVENTS or self._size_bytes + len(field) > MAX_BATCH_BYTES
        full = self.seal() if is_full and self._fields else None
        self._fields.append(field)
        self._size_bytes += len(field)
        return full

    def seal(self) -> Batch:
        """The batch of what was added since the last one; at least one event must have been."""
        last_sequence = self._first_sequence + len(self._fields) - 1
        message_id = f"{self._boot_id}:{self._first_sequence}-{last_sequence}{self._suffix}"
        batch = Batch(self._first_sequence, last_sequence, b"".join(self._fields), message_id, self._suffix)
        self._first_sequence = last_sequence + 1
        self._fields = []
        self._size_bytes = 0
        return batch


def batches_of(boot_id: int, events: Iterable[bytes], suffix: str = "") -> Iterator[Batch]:
    """Batches of serialised events that are in order of sequence number, not all of which need be there.

    `suffix` sets their message ids apart from those that the events were sent under before.
    """
    builder, expected = BatchBuilder(boot_id, suffix=suffix), 0
    for event in events:
        sequence = UsageEvent.FromString(event).sequence
        if sequence != expected:
            if not builder.is_empty:
                yield builder.seal()
            builder = BatchBuilder(boot_id, sequence, suffix)
        expected = sequence + 1
        full = builder.add(event)
        if full is not None:
            yield full
    if not builder.is_empty:
        yield builder.seal()
