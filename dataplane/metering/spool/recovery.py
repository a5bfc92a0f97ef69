"""What a process that is gone left in its spool, made whole: an event for every attempt that it began."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from google.protobuf.message import DecodeError

from dataplane.metering.events import EventNumber, crash_event
from dataplane.metering.spool.journal import SUFFIX, Journal
from dataplane.metering.spool.records import Record, RecordKind, marked_sequence, read_records
from dataplane.metering.spool.segments import Segment
from tollway.usage.v1.usage_pb2 import UsageEvent

OpenKey = tuple[str, int]


class SpoolUnreadable(Exception):
    """A spool holds what this release did not write, or the events of another process; the text says which."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The journal of a process that is gone, whose events have numbers from `first_sequence` to `last_sequence`.

    `estimates` attempts of it had no end and were given one; `damages` stretches of its files could not be read.
    """

    journal: Journal
    first_sequence: int
    last_sequence: int
    estimates: int
    damages: int


def recover(folder: Path, boot_id: int) -> Recovered:
    """Ends the journal in `folder`: attempts without an end become events of the same producer, written before use.

    May be called in a thread, and again after it was cut short. Raises OSError, and SpoolUnreadable.

    Where the end of an attempt cannot be read, its number is missing or follows the last one, and the event may long be
    in the ledger. The estimate takes that number: with the attempt's start it makes the very id that the event had.
    """
    reading = _Reading(boot_id)
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.stem.isdecimal():
            reading.read(path)
    journal = Journal(folder, lambda: (), segments=reading.segments)
    last_attempts = reading.last_attempts()
    numbers = chain(sorted(reading.holes), count(reading.next_sequence))
    last = reading.next_sequence - 1
    for (request_id, attempt), sequence in zip(reading.unended(), numbers, strict=False):
        opening = reading.began[request_id, attempt]
        is_final = last_attempts[request_id] == attempt
        journal.write_close(crash_event(opening, EventNumber(boot_id, sequence), is_final=is_final), sequence)
        if journal.is_failing:
            raise OSError(f"the spool in {folder} cannot be written")
        last = max(last, sequence)
    journal.sync()
    return Recovered(journal, reading.first_sequence or last + 1, last, len(reading.began), reading.damages)


@dataclass(slots=True)
class _Reading:
    """What the segments hold, read from the oldest on; `began` are the OPEN records of attempts without an end.

    `holes` are numbers that were given and whose events are not there.
    """

    boot_id: int
    segments: list[Segment] = field(default_factory=list)
    began: dict[OpenKey, bytes] = field(default_factory=dict)
    holes: set[int] = field(default_factory=set)
    damages: int = 0
    first_sequence: int = 0
    next_sequence: int = 1
    _seen_in: dict[OpenKey, int] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        """Raises OSError and SpoolUnreadable."""
        data = path.read_bytes()
        segment = Segment(path, len(data))
        self.segments.append(segment)
        for record in read_records(data):
            if record.kind is RecordKind.DAMAGE:
                self.damages += 1
            elif record.kind is RecordKind.MARK:
                self._take_mark(marked_sequence(record.payload))
            else:
                self._take_event(segment, record)
        segment.last = max(segment.last, self.next_sequence - 1)

    def unended(self) -> Iterator[OpenKey]:
        """Attempts without an end; first those that no longer stood when a later segment was begun."""
        return iter(sorted(self.began, key=lambda key: self._seen_in[key]))

    def last_attempts(self) -> dict[str, int]:
        """The last attempt without an end, by request id."""
        return dict(sorted(self.began, key=lambda key: key[1]))

    def _take_mark(self, last_sequence: int) -> None:
        self._begin_at(last_sequence + 1)
        self._expect(last_sequence + 1)

    def _take_event(self, segment: Segment, record: Record) -> None:
        try:
            event = UsageEvent.FromString(record.payload)
        except DecodeError as error:
            raise SpoolUnreadable(f"{segment.path} holds what is no usage event") from error
        key = (event.request_id, event.attempt)
        if record.kind is RecordKind.OPEN:
            self.began.setdefault(key, record.payload)
            self._seen_in[key] = len(self.segments)
            return
        if event.boot_id != self.boot_id:
            raise SpoolUnreadable(f"{segment.path} holds events of another process, as a copied folder does")
        segment.note(event.sequence, record.start)
        self.began.pop(key, None)
        self._seen_in.pop(key, None)
        self._begin_at(event.sequence)
        self.holes.discard(event.sequence)
        self._expect(event.sequence)
        self.next_sequence = max(self.next_sequence, event.sequence + 1)

    def _begin_at(self, sequence: int) -> None:
        if not self.first_sequence:
            self.first_sequence = self.next_sequence = sequence

    def _expect(self, sequence: int) -> None:
        """What comes next has that number: those before it that did not come are missing."""
        self.holes.update(range(self.next_sequence, sequence))
        self.next_sequence = max(self.next_sequence, sequence)
