"""What data planes may forget of their usage, and what they must send again. Pure but for what it is told.

A number is acknowledged when the ledger holds it and all before it, or all before it was acknowledged once: a ledger
that was restored to an older state holds back nothing that data planes have forgotten. A number is missing when the
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


@dataclass(slots=True)
class ToldProducer:
    """One producer as a data plane told of it.

    `dated_through` is a position that was told before the database's time `dated`; it is kept until it can be judged.
    """

    boot_id: int
    last_sequence: int = 0
    published_through: int = 0
    dated_through: int = 0
    dated: datetime | None = None
    booked_through: int = 0

    @property
    def is_waiting(self) -> bool:
        return self.booked_through < self.last_sequence

    def tell(self, position: ProducerPosition) -> None:
        """A position that falls back has events on their way again: what was dated is judged no more."""
        if position.published_through < self.dated_through:
            self.dated = None
        self.last_sequence, self.published_through = position.last_sequence, position.published_through
        self.booked_through = max(self.booked_through, position.booked_through)

    def judge(self, progress: Progress, published_through: int) -> LedgerAck | None:
        """What is to be said after a look; `published_through` was told before it. None when there is nothing new."""
        booked = progress.booked.get(self.boot_id, ())
        through = _through(booked, self.booked_through)
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

    def take_acks(self) -> Iterable[LedgerAck]:
        """What is to be sent; it is not told twice."""
        acks, self._acks = self._acks, {}
        return acks.values()


def _through(booked: Ranges, acknowledged: int) -> int:
    """Up to where everything is booked from `acknowledged` on."""
    for first, last in booked:
        if first > acknowledged + 1:
            break
        acknowledged = max(acknowledged, last)
    return acknowledged


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
