"""What the consumer does beside booking: it notes gaps, detaches old days, checks the sums at night, and tells."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controlplane.errors import Unavailable
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.metrics import ConsumerMetrics
from controlplane.ledger.retention.retirement import DayRetirement
from controlplane.ledger.state.repository import StateRepository
from controlplane.quota.checks.repository import BudgetCheckRepository

STATE_INTERVAL_S = 15.0
RETIREMENT_INTERVAL_S = 60.0
CHECK_INTERVAL_S = 300.0
CHECK_DAYS = 35
NIGHT_HOURS_UTC = range(1, 5)
NIGHTLY = timedelta(hours=20)
OVERDUE = timedelta(hours=28)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpkeepParts:
    """What upkeep works with; `now` gives aware UTC times."""

    state: StateRepository
    days: DayCheckRepository
    budgets: BudgetCheckRepository
    retirement: DayRetirement
    metrics: ConsumerMetrics
    now: Callable[[], datetime]


class LedgerUpkeep:
    """Several consumers may do this at once: each thing is done once, and each tells of all."""

    def __init__(self, parts: UpkeepParts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """Until cancelled; what the database does not do now is tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat(self.tell_state, STATE_INTERVAL_S), name="tell the ledger's state")
            tasks.create_task(_repeat(self.retire_days, RETIREMENT_INTERVAL_S), name="detach old days")
            tasks.create_task(self._check_nightly(), name="check the ledger")

    async def _check_nightly(self) -> None:
        """Not at once: a consumer that starts has a backlog to book."""
        await asyncio.sleep(CHECK_INTERVAL_S)
        await _repeat(self.check_days, CHECK_INTERVAL_S)

    async def tell_state(self) -> None:
        """Raises Unavailable."""
        await self._parts.state.note_gaps()
        self._parts.metrics.set_state(await self._parts.state.read())

    async def retire_days(self) -> None:
        """Raises Unavailable."""
        await self._parts.retirement.run_once()

    async def check_days(self) -> None:
        """Compares the last CHECK_DAYS days and the budgets when that is due.

        Raises Unavailable; then it is due the next night.
        """
        now = self._parts.now().astimezone(UTC)
        if not await self._parts.state.begin_check(NIGHTLY if now.hour in NIGHT_HOURS_UTC else OVERDUE):
            return
        drifts, started_s = 0, time.monotonic()
        for offset in range(CHECK_DAYS):
            report = await self._parts.days.verify(now.date() - timedelta(days=offset))
            drifts += report.drifting_rows
            if report.drifting_rows:
                text = "sums of a day are not what its entries add up to: see tollctl ledger verify day=%s rows=%d"
                _log.error(text, report.day, report.drifting_rows)
        budgets = await self._parts.budgets.verify()
        drifts += len(budgets.drifts)
        if budgets.drifts:
            text = "budgets are not what is charged to them: see tollctl ledger verify sums=%d"
            _log.error(text, len(budgets.drifts))
        await self._parts.state.end_check(CHECK_DAYS, drifts)
        _log.info("checked days=%d drifts=%d took_s=%.1f", CHECK_DAYS, drifts, time.monotonic() - started_s)


async def _repeat(work: Callable[[], Awaitable[None]], interval_s: float) -> None:
    while True:
        try:
            await work()
        except Unavailable as error:
            _log.debug("upkeep waits for the database reason=%s", error.message)
        await asyncio.sleep(interval_s)
