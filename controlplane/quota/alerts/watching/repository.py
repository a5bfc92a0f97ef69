"""One look at the buckets of budgets, by one process at a time, and the alerts that it makes."""

import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Numeric,
    RowMapping,
    Subquery,
    any_,
    cast,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.quota.alerts.repository import alert_values
from controlplane.quota.alerts.rows import Alert, AlertedBudget, AlertState, SpentBucket, ToldThreshold, Window
from controlplane.quota.alerts.tables import budget_alert
from controlplane.quota.alerts.thresholds import least_spent
from controlplane.quota.tables import quota_bucket

LOOK_LOCK = 0x616C6572747300
_IS_MINE = text("SELECT pg_try_advisory_xact_lock(:lock)")
# Statistics do not know of alerts that were made just now: loops that are planned for a few of them would take minutes.
_NO_LOOPS = text("SET LOCAL enable_nestloop = off")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_LARGEST = 2**63 - 1
_ALERTS = budget_alert.c
_BUCKETS = quota_bucket.c
# What counts against a budget: what is in the ledger, and what is taken as spent because its data plane is gone.
_SPENT = _BUCKETS.spent + _BUCKETS.provisional


class AlertLooks:
    """Looks come one after the other: what one has noticed the next one knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def next_look(self) -> AsyncIterator["Look | None"]:
        """None while another process looks; what the look keeps is committed at the end. Raises Unavailable."""
        async with self._database.transaction() as connection:
            is_mine = await connection.scalar(_IS_MINE, {"lock": LOOK_LOCK})
            await connection.execute(_NO_LOOPS)
            yield Look(connection) if is_mine else None


class Look:
    """Reads what may be due, and keeps what is."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read_due(
        self, budget: AlertedBudget, window: Window, limit: int
    ) -> list[tuple[SpentBucket, list[ToldThreshold]]]:
        """Up to `limit` buckets that something is to be done about, each with all alerts of it and this budget."""
        buckets = [_to_bucket(row, window) for row in await self._read_buckets(budget, window, limit)]
        if not buckets:
            return []
        ids = [bucket.bucket_id for bucket in buckets]
        statement = select(budget_alert).where(_is_of(budget, window), _ALERTS.bucket_id.in_(ids))
        told: dict[uuid.UUID, list[ToldThreshold]] = {bucket_id: [] for bucket_id in ids}
        for row in (await self._connection.execute(statement)).mappings():
            told[row["bucket_id"]].append(_to_told(row))
        return [(bucket, told[bucket.bucket_id]) for bucket in buckets]

    async def rearm(self, alert_ids: Collection[uuid.UUID]) -> None:
        """Their thresholds are not passed any more, and may be told of another amount."""
        if alert_ids:
            statement = update(budget_alert).where(_ALERTS.alert_id.in_(alert_ids)).values(standing=False)
            await self._connection.execute(statement)

    async def keep(self, alerts: Sequence[Alert]) -> None:
        """Makes alerts; those that there are already stay as they are."""
        if alerts:
            statement = insert(budget_alert).on_conflict_do_nothing()
            await self._connection.execute(statement, [alert_values(alert) for alert in alerts])

    async def hasten(self, budget: AlertedBudget, now: datetime) -> None:
        """Has failing alerts tried at once that go elsewhere, or are signed otherwise, than at their last try."""
        is_late = (_ALERTS.state == AlertState.FAILING) & (_ALERTS.next_attempt_time > now)
        went_elsewhere = _ALERTS.receiver_digest != budget.receiver.digest
        statement = update(budget_alert).where(_ALERTS.budget_uid == budget.uid, is_late, went_elsewhere)
        await self._connection.execute(statement.values(next_attempt_time=now))

    async def _read_buckets(self, budget: AlertedBudget, window: Window, limit: int) -> Sequence[RowMapping]:
        told = _told_of(budget, window)
        statement = (
            select(_BUCKETS.bucket_id, _BUCKETS.dimension_values, _SPENT.label("spent_nano_usd"))
            .select_from(quota_bucket.outerjoin(told, told.c.bucket_id == _BUCKETS.bucket_id))
            .where(
                _BUCKETS.rule == budget.name,
                _BUCKETS.generation == budget.generation,
                _BUCKETS.window_start_ms == (window.start - _EPOCH) // _MS,
                or_(_is_untold(budget, told), _is_undone(budget, told)),
            )
            .order_by(_BUCKETS.bucket_id)
            .limit(limit)
        )
        return (await self._connection.execute(statement)).mappings().all()


def _told_of(budget: AlertedBudget, window: Window) -> Subquery:
    """By bucket: `percents` that are not to be told of this amount, and the `highest` told of a smaller one."""
    is_smaller = _ALERTS.amount_nano_usd < budget.amount_nano_usd
    percents = func.array_agg(_ALERTS.threshold_percent).filter(or_(_ALERTS.standing, ~is_smaller))
    highest = func.max(_ALERTS.threshold_percent).filter(_ALERTS.standing & is_smaller)
    return (
        select(_ALERTS.bucket_id, percents.label("percents"), highest.label("highest"))
        .where(_is_of(budget, window))
        .group_by(_ALERTS.bucket_id)
        .subquery("told")
    )


def _is_untold(budget: AlertedBudget, told: Subquery) -> ColumnElement[bool]:
    """A threshold is passed that was told of no such amount, and of a smaller one neither while it was passed."""
    levels = {percent: least_spent(percent, budget.amount_nano_usd) for percent in budget.thresholds_percent}
    reachable = {percent: level for percent, level in levels.items() if level <= _LARGEST}
    arrays = (literal(list(reachable), ARRAY(Integer)), literal(list(reachable.values()), ARRAY(BigInteger)))
    columns = (column("percent", Integer), column("level", BigInteger))
    threshold = func.unnest(*arrays).table_valued(*columns, name="threshold").render_derived()
    percents = func.coalesce(told.c.percents, literal([], ARRAY(Integer)))
    is_due = (threshold.c.level <= _SPENT) & ~(threshold.c.percent == any_(percents))
    return exists().where(is_due).correlate(quota_bucket, told)


def _is_undone(budget: AlertedBudget, told: Subquery) -> ColumnElement[bool]:
    """An alert stands whose threshold is not passed any more, because the amount is larger."""
    return cast(_SPENT, Numeric) * 100 < told.c.highest * literal(budget.amount_nano_usd, Numeric)


def _is_of(budget: AlertedBudget, window: Window) -> ColumnElement[bool]:
    return (_ALERTS.budget_uid == budget.uid) & (_ALERTS.window_start == window.start)


def _to_bucket(row: RowMapping, window: Window) -> SpentBucket:
    return SpentBucket(row["bucket_id"], window, tuple(row["dimension_values"]), row["spent_nano_usd"])


def _to_told(row: Any) -> ToldThreshold:
    return ToldThreshold(row["alert_id"], row["threshold_percent"], row["amount_nano_usd"], row["standing"])
