"""One producer of usage events, this process or one that is gone: what of it NATS and the ledger have."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dataplane.metering.batches import Batch
from dataplane.metering.spool.journal import Journal

Ranges = Iterable[tuple[int, int]]
"""Ranges of sequence numbers, both ends included."""

PLACED_EVENTS: Final = 64


@dataclass(frozen=True, slots=True)
class ProducerProgress:
    """How far a producer is: the lowest number that is still kept, the last one given, and up to where NATS has all.

    `is_final`: its process is gone, and there will be no more.
    """

    boot_id: int
    first_sequence: int
    last_sequence: int
    published_through: int
    is_final: bool = False


class Producer:
    """Keeps account of batches on their way and of what the ledger has acknowledged.

    `booked_through` is up to where nothing is kept any more: acknowledged, given up, or not to be had.
    """

    def __init__(self, boot_id: int, journal: Journal, first_sequence: int = 1, *, is_final: bool = False) -> None:
        self.boot_id = boot_id
        self.is_final = is_final
        self.journal = journal
        self.last_sequence = first_sequence - 1
        self.booked_through = first_sequence - 1
        self._sealed = first_sequence - 1
        self._on_their_way: dict[int, Batch] = {}
        self._lowest: list[int] = []
        self._absent: dict[int, int] = {}
        self._resends = 0

    @property
    def progress(self) -> ProducerProgress:
        through = self.published_through
        return ProducerProgress(self.boot_id, self.booked_through + 1, self.last_sequence, through, self.is_final)

    @property
    def published_through(self) -> int:
        while self._lowest and self._lowest[0] not in self._on_their_way:
            heapq.heappop(self._lowest)
        return self._lowest[0] - 1 if self._lowest else self._sealed

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
        heapq.heappush(self._lowest, batch.first_sequence)
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
        self._let_go(through)
        return self.journal.oldest_forgettable() != through

    def acknowledge(self, through: int) -> None:
        """The ledger's database has every event that is kept up to `through`."""
        if through > self.booked_through:
            self._let_go(min(through, self.last_sequence))

    def note_absent(self, ranges: Ranges) -> int:
        """The journal cannot give these events, so that nobody is to wait for them; how many were still wanted."""
        wanted = 0
        for first, last in ranges:
            if last > self.booked_through and self._absent.get(first, 0) < last:
                wanted += last - max(first - 1, self.booked_through)
                self._absent[first] = last
        self._let_go(self.booked_through)
        return wanted

    def missing(self, ranges: Ranges) -> list[tuple[int, int]]:
        """What of `ranges` is to be sent again: neither acknowledged nor on its way."""
        lowest, highest = self.booked_through + 1, self.published_through
        clipped = [(max(first, lowest), min(last, highest)) for first, last in ranges]
        return [(first, last) for first, last in clipped if first <= last]

    def places_again(self, ranges: Ranges) -> list[Batch]:
        """As `places`. Message ids are new: NATS may still refuse as duplicates what it has lost."""
        self._resends += 1
        suffix = f":again-{self._resends}"
        return [place for first, last in ranges for place in self.places(first, last, suffix)]

    def places(self, first: int, last: int, suffix: str = "") -> Iterator[Batch]:
        """Batches of all events of that range, each to be read from the journal when its turn comes."""
        for start in range(first, last + 1, PLACED_EVENTS):
            end = min(last, start + PLACED_EVENTS - 1)
            yield Batch(start, end, b"", f"{self.boot_id}:{start}-{end}{suffix}", suffix)

    def _let_go(self, through: int) -> None:
        self.booked_through = max(self.booked_through, through)
        for first in sorted(self._absent):
            if first <= self.booked_through + 1:
                self.booked_through = max(self.booked_through, self._absent.pop(first))
        self.journal.forget(self.booked_through)
