"""One producer of usage events, this process or one that is gone: what of it NATS and the ledger have."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dataplane.metering.batches import Batch, batches_of
from dataplane.metering.spool.journal import Journal

Ranges = Iterable[tuple[int, int]]
"""Ranges of sequence numbers, both ends included."""

PLACED_EVENTS: Final = 64


@dataclass(frozen=True, slots=True)
class ProducerProgress:
    """How far a producer is: the last sequence number it gave, up to where NATS has accepted every event, and up to
    where the ledger has acknowledged it.
    """

    boot_id: int
    last_sequence: int
    published_through: int
    booked_through: int


class Producer:
    """Keeps account of batches on their way and of what the ledger has acknowledged."""

    def __init__(self, boot_id: int, journal: Journal, first_sequence: int = 1) -> None:
        self.boot_id = boot_id
        self.journal = journal
        self.last_sequence = first_sequence - 1
        self._sealed = first_sequence - 1
        self._on_their_way: dict[int, Batch] = {}
        self.booked_through = first_sequence - 1
        self._resends = 0

    @property
    def progress(self) -> ProducerProgress:
        return ProducerProgress(self.boot_id, self.last_sequence, self.published_through, self.booked_through)

    @property
    def published_through(self) -> int:
        return min(self._on_their_way, default=self._sealed + 1) - 1

    @property
    def unacknowledged_events(self) -> int:
        return self.last_sequence - self.booked_through

    @property
    def is_idle(self) -> bool:
        """No batch is on its way."""
        return not self._on_their_way

    @property
    def is_booked(self) -> bool:
        return self.booked_through >= self.last_sequence

    def send(self, batch: Batch) -> Batch:
        """Note that `batch` is on its way."""
        self._on_their_way[batch.first_sequence] = batch
        self._sealed = max(self._sealed, batch.last_sequence)
        return batch

    def settle(self, batch: Batch) -> None:
        """Note that NATS has accepted `batch`."""
        if self._on_their_way.get(batch.first_sequence) is batch:
            del self._on_their_way[batch.first_sequence]

    def forget_published(self) -> bool:
        """Give up the oldest segment before the ledger has acknowledged it, if NATS has all of it; whether it did."""
        through = self.journal.oldest_forgettable()
        if not 0 < through <= self.published_through:
            return False
        self.booked_through = max(self.booked_through, through)
        self.journal.forget(through)
        return True

    def acknowledge(self, through: int) -> None:
        """The ledger's database has every event up to `through`."""
        if through > self.booked_through:
            self.booked_through = min(through, self.last_sequence)
            self.journal.forget(self.booked_through)

    def missing(self, ranges: Ranges) -> list[tuple[int, int]]:
        """What of `ranges` is to be sent again: neither acknowledged nor on its way."""
        lowest, highest = self.booked_through + 1, self.published_through
        clipped = [(max(first, lowest), min(last, highest)) for first, last in ranges]
        return [(first, last) for first, last in clipped if first <= last]

    def batches_again(self, first: int, last: int) -> list[Batch]:
        """Batches of what the journal still has of that range; may be called in a thread.

        Their message ids are new: NATS may still refuse as duplicates what it has lost.
        """
        self._resends += 1
        return list(batches_of(self.boot_id, self.journal.read(first, last), f":again-{self._resends}"))

    def places(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of all events of that range, each to be read from the journal when its turn comes."""
        for start in range(first, last + 1, PLACED_EVENTS):
            end = min(last, start + PLACED_EVENTS - 1)
            yield Batch(start, end, b"", f"{self.boot_id}:{start}-{end}")
