"""Buckets of budgets, written as bookings leave them, and a watch that looks at them."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from controlplane.db.engine import Database
from controlplane.quota.alerts.repository import AlertPage, AlertRepository
from controlplane.quota.alerts.rows import Alert, AlertedBudget
from controlplane.quota.alerts.watch import AlertWatch, WatchParts
from controlplane.quota.alerts.watching.repository import AlertLooks
from controlplane.quota.windows import window_at
from tests.integration.alerts.courier import Clock
from tests.unit.controlplane.quota.alerts.specimens import budget
from tollway.kernel.rules import bucket_id

_PUT = text(
    "INSERT INTO quota_bucket (bucket_id, window_start_ms, kind, rule, generation, limit_index, dimension_values, cap,"
    " spent, escrow, provisional, prior, charged_cost_nano_usd, seeds, starved_us)"
    " VALUES (:id, :start, 1, :rule, :generation, 0, :values, 0, :spent, 0, :provisional, 0, 0, 1, 0)"
    " ON CONFLICT (bucket_id, window_start_ms) DO UPDATE SET spent = :spent, provisional = :provisional"
)


class Watched:
    """One control plane that watches `budgets`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.budgets: list[AlertedBudget] = [budget()]
        self.woken = 0
        self.repository = AlertRepository(database)
        parts = WatchParts(AlertLooks(database), self.repository, self._load, self._wake, clock.now)
        self.watch = AlertWatch(parts)

    async def spend(
        self,
        nano_usd: int,
        *,
        rule: AlertedBudget | None = None,
        values: Sequence[str] = ("teams/growth",),
        provisional: int = 0,
        at: datetime | None = None,
    ) -> uuid.UUID:
        """Makes what one bucket has spent in the window of `at`, now unless given, `nano_usd`."""
        rule = rule or self.budgets[0]
        window = window_at(rule.period, rule.time_zone, at or self.clock.now())
        identity = bucket_id(rule.name, rule.generation, 0, values)
        row = {
            "id": identity,
            "start": window.start_ms,
            "rule": rule.name,
            "generation": rule.generation,
            "values": list(values),
            "spent": nano_usd,
            "provisional": provisional,
        }
        async with self.database.transaction() as connection:
            await connection.execute(_PUT, row)
        return identity

    async def look(self) -> list[int]:
        """Looks, and gives the thresholds of the alerts that this made."""
        before = {alert.alert_id for alert in await self.alerts()}
        await self.watch.look()
        return sorted(alert.threshold_percent for alert in await self.alerts() if alert.alert_id not in before)

    async def alerts(self) -> list[Alert]:
        return await self.repository.read_page(AlertPage(10_000))

    async def _load(self) -> list[AlertedBudget]:
        return self.budgets

    def _wake(self) -> None:
        self.woken += 1


def start_of_next_month() -> datetime:
    """A minute into the next month in UTC."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1) + timedelta(minutes=1)
