"""Usage events gathered into messages: each event is serialised once, and a sealed batch never changes. Pure."""

from dataclasses import dataclass
from typing import Final

MAX_BATCH_EVENTS: Final = 256
MAX_BATCH_BYTES: Final = 64_000
_EVENTS_FIELD_TAG: Final = b"\x0a"
"""Field 1 of UsageEventBatch, length-delimited: a batch's bytes are the concatenation of such fields."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The bytes of one UsageEventBatch and the sequence numbers in it, which are contiguous."""

    first_sequence: int
    last_sequence: int
    payload: bytes

    @property
    def events(self) -> int:
        return self.last_sequence - self.first_sequence + 1


class BatchBuilder:
    """Gathers serialised events of contiguous sequence numbers into batches within the two bounds.

    An event that is larger than a batch may be makes a batch of its own.
    """

    __slots__ = ("_fields", "_first_sequence", "_size_bytes")

    def __init__(self, first_sequence: int = 1) -> None:
        self._first_sequence = first_sequence
        self._fields: list[bytes] = []
        self._size_bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._fields

    def add(self, event: bytes) -> Batch | None:
        """Take the next event; the batch that had no room for it, or None."""
        field = _EVENTS_FIELD_TAG + _varint(len(event)) + event
        is_full = len(self._fields) >= MAX_BATCH_EVENTS or self._size_bytes + len(field) > MAX_BATCH_BYTES
        full = self.seal() if is_full and self._fields else None
        self._fields.append(field)
        self._size_bytes += len(field)
        return full

    def seal(self) -> Batch:
        """The batch of what was added since the last one; at least one event must have been."""
        last_sequence = self._first_sequence + len(self._fields) - 1
        batch = Batch(self._first_sequence, last_sequence, b"".join(self._fields))
        self._first_sequence = last_sequence + 1
        self._fields = []
        self._size_bytes = 0
        return batch


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
