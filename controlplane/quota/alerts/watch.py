"""Notices that thresholds of budgets are passed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controlplane.errors import Unavailable
from controlplane.quota.alerts.making import make_alert
from controlplane.quota.alerts.repository import AlertRepository
from controlplane.quota.alerts.rows import Alert, AlertedBudget, Window
from controlplane.quota.alerts.thresholds import judge_bucket
from controlplane.quota.alerts.watching.repository import AlertLooks, Look
from controlplane.quota.windows import window_at

INTERVAL_S = 2.0
FORGET_INTERVAL_S = 600.0
KEPT = timedelta(days=90)
LATE = timedelta(hours=1)
MOST_BUCKETS = 500
_MS = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchParts:
    """What a watch works with.

    load_budgets: those that have a receiver, as they are now. Raises Unavailable.
    wake: says that there are alerts to deliver.
    now: gives aware UTC times.
    """

    looks: AlertLooks
    repository: AlertRepository
    load_budgets: Callable[[], Awaitable[Sequence[AlertedBudget]]]
    wake: Callable[[], None]
    now: Callable[[], datetime]


class AlertWatch:
    """`run` is a task for the life of the process; of several processes one looks at a time."""

    def __init__(self, parts: WatchParts) -> None:
        self._parts = parts

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat(self.look, INTERVAL_S), name="look for alerts")
            tasks.create_task(_repeat(self.forget, FORGET_INTERVAL_S), name="forget alerts")

    async def look(self) -> None:
        """Makes the alerts that are due, MOST_BUCKETS buckets of a budget's window at most. Raises Unavailable."""
        parts, count = self._parts, 0
        async with parts.looks.next_look() as look:
            if look is None:
                return
            # Read once the look is this process's own: no other one can have acted on newer budgets before.
            for budget in await parts.load_budgets():
                for window in windows_to_watch(budget, parts.now()):
                    count += await self._look_at(look, budget, window)
                await look.hasten(budget, parts.now())
        if count:
            _log.info("alerts made count=%d", count)
            parts.wake()

    async def forget(self) -> None:
        """Removes alerts of windows that ended long ago. Raises Unavailable."""
        await self._parts.repository.forget(self._parts.now() - KEPT, MOST_BUCKETS)

    async def _look_at(self, look: Look, budget: AlertedBudget, window: Window) -> int:
        alerts: list[Alert] = []
        for bucket, told in await look.read_due(budget, window, MOST_BUCKETS):
            judgement = judge_bucket(budget, bucket, told)
            await look.rearm(judgement.rearmed)
            alerts += [make_alert(budget, bucket, percent, self._parts.now()) for percent in judgement.due_percent]
        await look.keep(alerts)
        return len(alerts)


def windows_to_watch(budget: AlertedBudget, now: datetime) -> Iterable[Window]:
    """The period that `now` is in, and the one that ended within LATE: usage is booked after it was spent."""
    found = {window_at(budget.period, budget.time_zone, moment) for moment in (now - LATE, now)}
    for window in sorted(found, key=lambda window: window.start_ms):
        end = None if window.end_ms is None else _EPOCH + window.end_ms * _MS
        yield Window(_EPOCH + window.start_ms * _MS, end)


async def _repeat(work: Callable[[], Awaitable[None]], interval_s: float) -> None:
    while True:
        try:
            await work()
        except Unavailable as error:
            _log.debug("alerts wait for the database reason=%s", error.message)
        await asyncio.sleep(interval_s)
