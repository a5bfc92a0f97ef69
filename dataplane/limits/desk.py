"""Where calls wait for leases: the lease table on the event loop's clock."""

import asyncio
import time
from collections.abc import Callable, Sequence

from dataplane.limits.leases import WAIT_MS, LeaseTable
from dataplane.limits.reservations import Need, Reservation

_MS_PER_S = 1000


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class LeaseDesk:
    """The one table of a process. `urge` is called when something is to be said to the control plane at once."""

    def __init__(self, clock_ms: Callable[[], int] = monotonic_ms) -> None:
        self._clock_ms = clock_ms
        self._waiting: dict[Reservation, asyncio.Future[None]] = {}
        self.table = LeaseTable(self, clock_ms())
        self.urge: Callable[[], None] = _nobody
        self.waits = 0
        self.waited_s = 0.0

    @property
    def now_ms(self) -> int:
        return self._clock_ms()

    def reserve(self, needs: Sequence[Need]) -> Reservation:
        """All of `needs`, or none: the reservation tells. Where leases do not cover them it may have to `wait`."""
        reservation = Reservation(needs)
        self.table.reserve(reservation, self._clock_ms())
        return reservation

    def resolved(self, reservation: Reservation) -> None:
        future = self._waiting.get(reservation)
        if future is not None and not future.done():
            future.set_result(None)

    def urged(self) -> None:
        self.urge()

    async def wait(self, reservation: Reservation) -> None:
        """Until a reservation that waits is held or refused, which is bounded.

        A call that is ended while it waits has reserved nothing.
        """
        loop = asyncio.get_running_loop()
        future = self._waiting[reservation] = loop.create_future()
        timer = loop.call_later(WAIT_MS / _MS_PER_S, self._expire)
        began_s = loop.time()
        try:
            await future
        except asyncio.CancelledError:
            self.table.withdraw(reservation, self._clock_ms())
            raise
        finally:
            timer.cancel()
            del self._waiting[reservation]
            self.waits += 1
            self.waited_s += loop.time() - began_s

    def _expire(self) -> None:
        # A timer may come a moment before the clock that deadlines are read from.
        self.table.expire(self._clock_ms() + 1)


def _nobody() -> None:
    """Nobody listens."""
