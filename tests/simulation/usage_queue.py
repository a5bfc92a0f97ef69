"""A model of NATS: usage events wait until they are acknowledged, and come again until then, in any order."""

import random
import uuid
from dataclasses import dataclass
from functools import partial

from tests.simulation.timeline import MILLISECOND_US, SECOND_US, Timeline

_ACK_WAIT_US = 2 * SECOND_US
_REPEATED_PPM = 20_000
_SLOW_PPM = 20_000


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt used of one budget's bucket; without a lease where none was to be had."""

    bucket_id: uuid.UUID
    window_start_ms: int
    lease_id: uuid.UUID | None
    amount_nano_usd: int


@dataclass(frozen=True, slots=True)
class Event:
    """One usage event. `producer` is the boot id of the process that made it or whose spool held it."""

    event_id: int
    producer: int
    key: str
    cost_nano_usd: int
    began_us: int
    charges: tuple[Charge, ...]

    def charges_to(self, bucket_id: uuid.UUID) -> bool:
        return any(charge.bucket_id == bucket_id for charge in self.charges)


class UsageQueue:
    """Nothing that was accepted is lost; most comes once."""

    def __init__(self, timeline: Timeline, chance: random.Random) -> None:
        self.is_up = True
        self._timeline = timeline
        self._chance = chance
        self._ready: list[Event] = []
        self._unacknowledged: dict[int, Event] = {}
        self._accepted: list[Event] = []

    def publish(self, events: list[Event]) -> None:
        """Whoever publishes looks at the ledger, and publishes again what is not there in time."""
        for event in events:
            delay_us = self._chance.randint(300, 20 * MILLISECOND_US)
            if self._chance.randrange(1_000_000) < _SLOW_PPM:
                delay_us = self._chance.randint(0, 4 * SECOND_US)
            self._timeline.after(delay_us, partial(self._accept, event))

    def fetch(self, count: int) -> list[Event]:
        """Up to `count` events in some order; each comes again unless it is acknowledged in time."""
        if not self.is_up or not self._ready:
            return []
        self._chance.shuffle(self._ready)
        fetched, self._ready = self._ready[:count], self._ready[count:]
        for event in fetched:
            self._unacknowledged[event.event_id] = event
        self._timeline.after(_ACK_WAIT_US, lambda: self._redeliver(fetched))
        return fetched

    def acknowledge(self, events: list[Event]) -> None:
        if self.is_up:
            for event in events:
                self._unacknowledged.pop(event.event_id, None)

    def replay(self) -> None:
        """Everything that was ever accepted once more: the database lost commits."""
        self._ready += self._accepted

    def _accept(self, event: Event) -> None:
        if not self.is_up:
            return
        self._accepted.append(event)
        self._ready.append(event)
        if self._chance.randrange(1_000_000) < _REPEATED_PPM:
            self._ready.append(event)

    def _redeliver(self, events: list[Event]) -> None:
        for event in events:
            if self._unacknowledged.pop(event.event_id, None) is not None:
                self._ready.append(event)
