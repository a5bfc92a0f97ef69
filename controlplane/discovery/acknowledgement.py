"""What data planes may forget of their usage, and what they must send again. Pure but for what it is told.

A number is acknowledged when the ledger holds it and all before it that the data plane keeps: what a database that
was put back has lost for good must not keep a data plane from forgetting the rest. A number is missing when the
message stream had accepted it, nothing that old is in the stream any more, and the ledger does not hold it: then the
stream has lost it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tollway.config.v1.discovery_pb2 import LedgerAck, ProducerPosition, SequenceRange, UsagePosition

MAX_MISSING = 100
Ranges = tuple[tuple[int, int], ...]
"""Ranges of sequence numbers in order, both ends included."""


class Progress(Protocol):
    """One look at the ledger; times are the database's."""

    @property
    def now(self) -> datetime: ...
    @property
    def drained_through(self) -> datetime | None: ...
    @property
    def booked(self) -> dict[int, Ranges]: ...


class LedgerProgress(Protocol):
    """Where the ledger's progress is read; raises Unavailable."""

    async def read(self, boot_ids: set[int]) -> Progress: ...
    async def complete(self, boot_ids: set[int]) -> None:
        """Notes that these producers are booked and that there will be no more of them."""


@dataclass(slots=True)
class ToldProducer:
    """One producer as a data plane told of it.

    `dated_through` is a position that was told before the database's time `dated`; it is kept until it can be judged.
    """

    boot_id: int
    first_sequence: int = 1
    last_sequence: int = 0
    published_through: int = 0
    dated_through: int = 0
    dated: datetime | None = None
    booked_through: int = 0
    is_final: bool = False
    is_complete: bool = False

    @property
    def is_waiting(self) -> bool:
        return self.booked_through < self.last_sequence or (self.is_final and not self.is_complete)

    @property
    def is_finished(self) -> bool:
        """Whether all that there will ever be is booked, and that is still to be noted."""
        return self.is_final and not self.is_complete and self.booked_through >= self.last_sequence

    def tell(self, position: ProducerPosition) -> None:
        """A position that falls back has events on their way again: what was dated is judged no more."""
        if position.published_through < self.dated_through:
            self.dated = None
        self.first_sequence = position.first_sequence or 1
        self.last_sequence, self.published_through = position.last_sequence, position.published_through
        self.is_final = position.final

    def judge(self, progress: Progress, published_through: int) -> LedgerAck | None:
        """What is to be said after a look; `published_through` was told before it. None when there is nothing new."""
        booked = progress.booked.get(self.boot_id, ())
        first = self.first_sequence
        through = next((end for start, end in booked if start <= first <= end), first - 1)
        missing: list[tuple[int, int]] = []
        if self.dated is None:
            self.dated, self.dated_through = progress.now, published_through
        elif progress.drained_through is not None and progress.drained_through > self.dated:
            missing = list(_holes(booked, through + 1, self.dated_through))[:MAX_MISSING]
            self.dated, self.dated_through = progress.now, published_through
        if through == self.booked_through and not missing:
            return None
        self.booked_through = through
        ranges = [SequenceRange(first=first, last=last) for first, last in missing]
        return LedgerAck(boot_id=self.boot_id, booked_through=through, missing=ranges)


class UsageWatch:
    """The producers of one stream of the feed, and the acknowledgements that wait to be sent on it."""

    def __init__(self) -> None:
        self._producers: dict[int, ToldProducer] = {}
        self._acks: dict[int, LedgerAck] = {}

    def tell(self, position: UsagePosition) -> None:
        """Replaces what was told before."""
        told = {p.boot_id: p for p in position.producers}
        self._producers = {boot_id: self._producers.get(boot_id, ToldProducer(boot_id)) for boot_id in told}
        for boot_id, producer in self._producers.items():
            producer.tell(told[boot_id])

    def waiting(self) -> dict[int, int]:
        """Producers with events to acknowledge, and up to where the stream had accepted theirs."""
        return {p.boot_id: p.published_through for p in self._producers.values() if p.is_waiting}

    def judge(self, progress: Progress, asked: dict[int, int]) -> bool:
        """Takes a look that was asked for with `waiting`; whether there is something to send."""
        for boot_id, published_through in asked.items():
            producer = self._producers.get(boot_id)
            ack = None if producer is None else producer.judge(progress, published_through)
            if ack is not None:
                self._acks[boot_id] = ack
        return bool(self._acks)

    def finished(self) -> set[int]:
        """Producers of which it is to be noted that they are complete."""
        return {p.boot_id for p in self._producers.values() if p.is_finished}

    def confirm(self, boot_ids: set[int]) -> None:
        """It was noted of these."""
        for boot_id in boot_ids & self._producers.keys():
            producer = self._producers[boot_id]
            producer.is_complete = True
            ack = self._acks.setdefault(boot_id, LedgerAck(boot_id=boot_id, booked_through=producer.booked_through))
            ack.complete = True

    def take_acks(self) -> Iterable[LedgerAck]:
        """What is to be sent; it is not told twice."""
        acks, self._acks = self._acks, {}
        return acks.values()


def _holes(booked: Ranges, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The ranges within `first` and `last` that `booked` does not cover."""
    for start, end in booked:
        if start > last:
            break
        if start > first:
            yield first, start - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last
