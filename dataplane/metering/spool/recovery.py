"""What a process that is gone left in its spool, made whole: an event for every attempt that it began."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataplane.metering.spool.journal import Journal
from dataplane.metering.spool.records import RecordKind, read_records
from tollway.kernel.usage import event_id
from tollway.usage.v1.usage_pb2 import UsageEvent


@dataclass(frozen=True, slots=True)
class Recovered:
    """The journal of a process that is gone; `estimates` attempts of it had no end and were given one."""

    journal: Journal
    first_sequence: int
    last_sequence: int
    estimates: int


def recover(folder: Path, boot_id: int) -> Recovered:
    """Ends the journal in `folder`: attempts without an end become events of the same producer, written before use.

    May be called in a thread, and again after it was cut short. Raises OSError.
    """
    journal = Journal.reopen(folder)
    began, first = _read(journal)
    last = journal.last_sequence
    for estimate in crash_events(began, boot_id, last + 1):
        last = estimate.sequence
        journal.write_close(estimate.SerializeToString(), last)
        if journal.is_failing:
            raise OSError(f"the spool in {folder} cannot be written")
    journal.sync()
    return Recovered(journal, first or last - len(began) + 1, last, len(began))


def crash_events(began: list[UsageEvent], boot_id: int, first_sequence: int) -> Iterator[UsageEvent]:
    """Events of attempts that have none, with the identities that come next; the last attempt of a call is final."""
    last_attempts = {event.request_id: event.attempt for event in sorted(began, key=lambda event: event.attempt)}
    for sequence, event in enumerate(began, first_sequence):
        event.boot_id, event.sequence = boot_id, sequence
        event.event_id = event_id(event.start_time_us // 1000, boot_id, sequence).bytes
        event.final = last_attempts[event.request_id] == event.attempt
        yield event


def _read(journal: Journal) -> tuple[list[UsageEvent], int]:
    """Attempts that began and have no event, and the first sequence number that is there, 0 for none."""
    began: dict[tuple[str, int], UsageEvent] = {}
    ended: set[tuple[str, int]] = set()
    first = 0
    for path in journal.paths():
        for record in read_records(path.read_bytes()):
            if record.kind is RecordKind.MARK:
                continue
            event = UsageEvent.FromString(record.payload)
            if record.kind is RecordKind.OPEN:
                began[event.request_id, event.attempt] = event
                continue
            ended.add((event.request_id, event.attempt))
            first = first or event.sequence
    return [event for key, event in began.items() if key not in ended], first
