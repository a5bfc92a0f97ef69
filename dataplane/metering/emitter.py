"""Makes usage events of calls: each is in the spool before the client has its last byte, and then on its way."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from dataplane.call import Attempt, Outcome
from dataplane.errors import Overloaded
from dataplane.metering.batches import BatchBuilder
from dataplane.metering.events import EventNumber, Opening, crash_event, ending_event, opening_of, refusal_event
from dataplane.metering.outbox import Outbox
from dataplane.metering.producer import Producer

CAPACITY_EVENTS: Final = 1_000_000
CAPACITY_BYTES: Final = 256 << 20
RESERVED_EVENTS_PER_CALL: Final = 3
LINGER_S: Final = 0.05
IDLE_LINGER_S: Final = 0.02
_FULL: Final = "The gateway cannot record usage at the moment. Try again in a few seconds."

logger = logging.getLogger(__name__)
OpenKey = tuple[str, int]
"""Request id and number of an attempt."""


def unix_time_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class SpoolBounds:
    """How many events and bytes the spool may hold before new calls are refused."""

    events: int = CAPACITY_EVENTS
    size_bytes: int = CAPACITY_BYTES


class OpenAttempts:
    """The attempts that are under way, as OPEN records hold them."""

    def __init__(self) -> None:
        self._openings: dict[OpenKey, Opening] = {}

    def add(self, request_id: str, attempt: int, opening: Opening) -> None:
        self._openings[request_id, attempt] = opening

    def take(self, request_id: str, attempt: int) -> Opening | None:
        return self._openings.pop((request_id, attempt), None)

    def __call__(self) -> Iterable[bytes]:
        return (opening.event for opening in self._openings.values())


class Emitter:
    """Turns outcomes into events of `producer` and hands them out in batches. One per process; its loop's thread only.

    opens: the attempts under way, which the producer's journal repeats in each new segment.
    `emit` takes events beyond `bounds` all the same.
    """

    def __init__(
        self,
        producer: Producer,
        outbox: Outbox,
        opens: OpenAttempts,
        *,
        bounds: SpoolBounds = SpoolBounds(),
        clock_us: Callable[[], int] = unix_time_us,
    ) -> None:
        self._producer = producer
        self._outbox = outbox
        self._opens = opens
        self._bounds = bounds
        self._clock_us = clock_us
        self._builder = BatchBuilder(producer.boot_id, producer.last_sequence + 1)
        self._linger: asyncio.TimerHandle | None = None

    @property
    def producer(self) -> Producer:
        return self._producer

    @property
    def unpublished_events(self) -> int:
        """Events that NATS has not accepted yet, at most."""
        return self._producer.last_sequence - self._producer.published_through

    def has_room(self, in_flight_calls: int) -> bool:
        """True when one more call can be taken beside those in flight, with room for the events of each.

        What NATS has is given up before a call is refused: the spool is then the second place that has it.
        """
        producer, journal = self._producer, self._producer.journal
        if journal.is_failing:
            return False
        reserved = RESERVED_EVENTS_PER_CALL * (in_flight_calls + 1)
        while producer.unacknowledged_events + reserved > self._bounds.events or (
            journal.size_bytes > self._bounds.size_bytes
        ):
            if not producer.forget_published():
                return False
        return True

    @property
    def fill_ratio(self) -> float:
        """How full the spool is, 1 where new calls are refused."""
        producer, bounds = self._producer, self._bounds
        return max(producer.unacknowledged_events / bounds.events, producer.journal.size_bytes / bounds.size_bytes)

    def begin(self, outcome: Outcome, attempt: Attempt) -> None:
        """Write down that `attempt` is about to go out, and the ends of the attempts before it.

        Raises Overloaded when the disk refuses it; then the attempt must not go out.
        """
        opening = opening_of(outcome, attempt)
        try:
            self._producer.journal.write_open(opening.event)
        except OSError as error:
            logger.debug("an attempt is not begun error=%s", error)
            raise Overloaded(_FULL) from error
        self._opens.add(outcome.call.request_id, attempt.number, opening)
        for earlier in outcome.attempts:
            if not earlier.is_emitted:
                self._end(outcome, earlier, is_final=False)

    def emit(self, outcome: Outcome) -> None:
        """Take the events of a call that has ended. Never blocks for long and never raises."""
        if not outcome.attempts:
            self._refuse(outcome)
        for attempt in outcome.attempts:
            if not attempt.is_emitted:
                self._end(outcome, attempt, is_final=attempt is outcome.attempts[-1])

    async def flush(self, timeout_s: float) -> int:
        """Wait until NATS has accepted all events, at most `timeout_s`; the number of those that it has not."""
        self._seal()
        await self._outbox.wait_empty(timeout_s)
        return self.unpublished_events

    def _refuse(self, outcome: Outcome) -> None:
        try:
            self._append(refusal_event(outcome, self._next_number(), self._clock_us()))
        except Exception:
            logger.exception("a refused call cannot be recorded request_id=%s", outcome.call.request_id)

    def _end(self, outcome: Outcome, attempt: Attempt, *, is_final: bool) -> None:
        """An attempt of which no event can be made has what it was opened with as its event."""
        opened = self._opens.take(outcome.call.request_id, attempt.number)
        attempt.is_emitted = True
        number, now_us = self._next_number(), self._clock_us()
        try:
            self._append(ending_event(outcome, attempt, opened, number, is_final=is_final, now_us=now_us))
        except Exception:
            logger.exception("an attempt is recorded as it was begun request_id=%s", outcome.call.request_id)
            if opened is not None:
                self._append(crash_event(opened.event, number, is_final=is_final))

    def _next_number(self) -> EventNumber:
        return EventNumber(self._producer.boot_id, self._producer.last_sequence + 1)

    def _append(self, event: bytes) -> None:
        """Take the event of the next number."""
        producer, builder = self._producer, self._builder
        sequence = producer.last_sequence + 1
        producer.journal.write_close(event, sequence)
        producer.last_sequence = sequence
        was_empty = builder.is_empty
        full = builder.add(event)
        if full is not None:
            self._stop_linger()
            self._outbox.put(producer, full)
        if was_empty or full is not None:
            linger_s = IDLE_LINGER_S if producer.is_idle else LINGER_S
            self._linger = asyncio.get_running_loop().call_later(linger_s, self._seal)

    def _seal(self) -> None:
        self._stop_linger()
        if not self._builder.is_empty:
            self._outbox.put(self._producer, self._builder.seal())

    def _stop_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
