"""Callers who all want the same: each makes its next call once the last is answered, until told that it is in vain."""

import asyncio
from contextlib import suppress

from tests.chaos.evidence import ClientEnding, Observation
from tests.chaos.load import Caller, Kind, Load

_LONGEST_PAUSE_S = 2.0
_BROKEN_PAUSE_S = 0.2


class Crowd:
    """`size` callers of one key. As SDKs do, they try again after a refusal that says so, after the time it says."""

    def __init__(self, load: Load, caller: Caller, kind: Kind, size: int) -> None:
        self._load = load
        self._caller = caller
        self._kind = kind
        self._size = size
        self._stopping = asyncio.Event()
        self.served = 0

    async def run(self) -> None:
        """Until every caller was refused for good, or `stop`."""
        async with asyncio.TaskGroup() as callers:
            for _ in range(self._size):
                callers.create_task(self._call_on())

    def stop(self) -> None:
        """No further calls; `run` returns when those that are out have ended."""
        self._stopping.set()

    async def _call_on(self) -> None:
        while not self._stopping.is_set():
            seen = await self._load.call_once(self._kind, self._caller)
            self.served += seen.ending is ClientEnding.GOOD
            pause_s = _pause_after(seen)
            if pause_s is None:
                return
            if pause_s:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause_s)


def _pause_after(seen: Observation) -> float | None:
    """Seconds until the next call; None when there is to be none."""
    if seen.ending in (ClientEnding.GOOD, ClientEnding.LEFT):
        return 0.0
    denial = seen.denial
    if denial is None or denial.code == "quota_unavailable":
        return _BROKEN_PAUSE_S
    if denial.should_retry is False or (denial.should_retry is None and denial.code != "rate_limit_exceeded"):
        return None
    return min(_LONGEST_PAUSE_S, (denial.retry_after_ms or 0) / 1000)


async def offer(load: Load, caller: Caller, kind: Kind, rate_per_s: float, seconds: float) -> int:
    """Calls at a steady rate whatever becomes of those before; how many, once the last has ended."""
    clock = asyncio.get_running_loop()
    began_s, number = clock.time(), 0
    async with asyncio.TaskGroup() as calls:
        while (due_s := number / rate_per_s) < seconds:
            await asyncio.sleep(max(0.0, began_s + due_s - clock.time()))
            calls.create_task(load.call_once(kind, caller))
            number += 1
    return number
