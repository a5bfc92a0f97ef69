"""One file of a spool: which events it holds, and how to read some of them."""

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataplane.metering.spool.records import RecordKind, read_records
from tollway.usage.v1.usage_pb2 import UsageEvent

INDEXED_EVENTS: Final = 64
Event = tuple[int, bytes]
"""Sequence number and serialised event."""


@dataclass(slots=True)
class Segment:
    """The events of sequence numbers from `first` to `last`, 0 while there are none; `number` orders segments.

    `last` is what was given before while there are none. Every INDEXED_EVENTS-th has its place noted, unless numbers
    do not rise, as what recovery adds for damage may not.
    """

    path: Path
    size_bytes: int = 0
    first: int = 0
    last: int = 0
    _places: list[tuple[int, int]] = field(default_factory=list, repr=False)
    _unplaced: int = 0
    _is_rising: bool = True

    def note(self, sequence: int, offset: int) -> None:
        """The record of that event begins at `offset`."""
        if not self._unplaced:
            self._places.append((sequence, offset))
            self._unplaced = INDEXED_EVENTS
        self._unplaced -= 1
        if not self.first:
            self.first = sequence
            self.last = max(self.last, sequence)
        elif sequence > self.last:
            self.last = sequence
        else:
            self.first = min(self.first, sequence)
            self._is_rising = False

    def holds_some(self, first: int, last: int) -> bool:
        """Whether events of that range may be here."""
        return bool(self.first) and self.first <= last and self.last >= first

    def read(self, first: int, last: int) -> Iterator[Event]:
        """The events of that range; none when the file is gone. May be called in a thread. Raises OSError."""
        start, end = self._bounds(first, last)
        for record in read_records(_read_bytes(self.path, start, end)):
            if record.kind is RecordKind.CLOSE:
                sequence = UsageEvent.FromString(record.payload).sequence
                if first <= sequence <= last:
                    yield sequence, record.payload

    def _bounds(self, first: int, last: int) -> tuple[int, int]:
        """Where in the file events of that range begin at the earliest and end at the latest."""
        places = list(self._places) if self._is_rising else []
        before = bisect_right(places, first, key=_sequence_of)
        after = bisect_right(places, last, key=_sequence_of)
        start = places[before - 1][1] if before else 0
        return start, places[after][1] if after < len(places) else self.size_bytes


def _sequence_of(place: tuple[int, int]) -> int:
    return place[0]


def _read_bytes(path: Path, start: int, end: int) -> bytes:
    try:
        with path.open("rb") as file:
            return os.pread(file.fileno(), end - start, start)
    except FileNotFoundError:
        return b""
