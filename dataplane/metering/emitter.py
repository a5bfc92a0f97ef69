"""Holds usage events in memory from the end of a call until NATS has them; nothing that was accepted is dropped."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from dataplane.call import Outcome
from dataplane.metering.batches import Batch, BatchBuilder
from dataplane.metering.events import usage_events
from tollway.kernel.usage import event_id
from tollway.usage.v1.usage_pb2 import UsageEvent

CAPACITY_EVENTS: Final = 131_072
RESERVED_EVENTS_PER_CALL: Final = 3
LINGER_S: Final = 0.05
IDLE_LINGER_S: Final = 0.02

logger = logging.getLogger(__name__)


def unix_time_us() -> int:
    return time.time_ns() // 1000


class Emitter:
    """Turns outcomes into events and hands them out in batches. One per process; its loop's thread only.

    boot_id: identity of this process start, 1 or more and within tollway.kernel.usage.BOOT_ID_BITS.
    capacity_events: at how many events `has_room` says no. `emit` takes events beyond it all the same.
    """

    def __init__(
        self, boot_id: int, *, capacity_events: int = CAPACITY_EVENTS, clock_us: Callable[[], int] = unix_time_us
    ) -> None:
        self._boot_id = boot_id
        self._capacity_events = capacity_events
        self._clock_us = clock_us
        self._sequence = 0
        self._delivered = 0
        self._builder = BatchBuilder()
        self._sealed: asyncio.Queue[Batch] = asyncio.Queue()
        self._linger: asyncio.TimerHandle | None = None
        self._all_delivered = asyncio.Event()

    @property
    def boot_id(self) -> int:
        return self._boot_id

    @property
    def held_events(self) -> int:
        """Events emitted and not yet delivered."""
        return self._sequence - self._delivered

    @property
    def delivered_events(self) -> int:
        return self._delivered

    def has_room(self, in_flight_calls: int) -> bool:
        """True when one more call can be taken beside those in flight, with room for the events of each."""
        reserved = RESERVED_EVENTS_PER_CALL * (in_flight_calls + 1)
        return self.held_events + reserved <= self._capacity_events

    def emit(self, outcome: Outcome) -> None:
        """Take the events of a call that has ended. Never blocks and never raises."""
        try:
            for event in usage_events(outcome, self._clock_us()):
                self._append(event)
        except Exception:
            logger.exception("a call cannot be recorded request_id=%s", outcome.call.request_id)

    async def next_batch(self) -> Batch:
        """Wait for a batch; whoever takes it tells `settle` when it is delivered."""
        return await self._sealed.get()

    def settle(self, batch: Batch) -> None:
        """Forget a batch that was delivered."""
        self._delivered += batch.events
        if self._delivered == self._sequence:
            self._all_delivered.set()

    async def flush(self, timeout_s: float) -> int:
        """Wait until all events are delivered, at most `timeout_s`; the number of those that are not."""
        self._seal()
        if self.held_events:
            self._all_delivered.clear()
            try:
                await asyncio.wait_for(self._all_delivered.wait(), timeout_s)
            except TimeoutError:
                logger.debug("flush ran out of time timeout_s=%s", timeout_s)
        return self.held_events

    def _append(self, event: UsageEvent) -> None:
        sequence = self._sequence + 1
        event.boot_id, event.sequence = self._boot_id, sequence
        event.event_id = event_id(event.start_time_us // 1000, self._boot_id, sequence).bytes
        was_empty, was_idle = self._builder.is_empty, self.held_events == 0
        full = self._builder.add(event.SerializeToString())
        self._sequence = sequence
        if full is not None:
            self._stop_linger()
            self._sealed.put_nowait(full)
        if was_empty or full is not None:
            linger_s = IDLE_LINGER_S if was_idle else LINGER_S
            self._linger = asyncio.get_running_loop().call_later(linger_s, self._seal)

    def _seal(self) -> None:
        self._stop_linger()
        if not self._builder.is_empty:
            self._sealed.put_nowait(self._builder.seal())

    def _stop_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
