"""Alerts as they are kept: made once, claimed for each try, and settled."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, func, or_, select, tuple_, update
from sqlalchemy.sql.expression import exists, literal

from controlplane.db.engine import Database
from controlplane.quota.alerts.rows import Alert, AlertState, Delivery, Window
from controlplane.quota.alerts.tables import budget_alert

CLAIM_S = 60
_ALERTS = budget_alert.c


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts from before `before`, a create time and an id, in that order descending; None begins with the newest."""

    limit: int
    before: tuple[datetime, uuid.UUID] | None = None
    budget: str | None = None
    state: AlertState | None = None


class AlertRepository:
    """Every method raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, now: datetime, limit: int) -> list[Alert]:
        """Up to `limit` alerts that are due, each for one try within CLAIM_S; that try is counted.

        One of each budget at a time, so that a receiver that hangs holds up no other budget's alerts.
        """
        if limit <= 0:
            return []
        values = {"attempts": _ALERTS.attempts + 1, "claim_end_time": now + timedelta(seconds=CLAIM_S)}
        locked = (
            select(_ALERTS.alert_id)
            .where(_ALERTS.alert_id.in_(_next_of_budgets(now, limit)), _is_due(now))
            .with_for_update(skip_locked=True)
        )
        statement = update(budget_alert).where(_ALERTS.alert_id.in_(locked)).values(values).returning(budget_alert)
        async with self._database.transaction() as connection:
            rows = await connection.execute(statement)
            return [_to_alert(row) for row in rows.mappings()]

    async def finish(self, alert_id: uuid.UUID, delivery: Delivery) -> None:
        """Keeps what became of a try, unless a later one was claimed since and this one failed."""
        statement = update(budget_alert).where(_ALERTS.alert_id == alert_id)
        if delivery.state is not AlertState.DELIVERED:
            statement = statement.where(_ALERTS.attempts == delivery.attempts)
        async with self._database.transaction() as connection:
            await connection.execute(statement.values({**_delivery_values(delivery), "claim_end_time": None}))

    async def retry(self, alert_id: uuid.UUID, now: datetime, give_up_time: datetime) -> Alert | None:
        """Has an alert delivered again from now on; None when there is no such alert."""
        values = {"state": AlertState.PENDING, "next_attempt_time": now, "give_up_time": give_up_time}
        statement = update(budget_alert).where(_ALERTS.alert_id == alert_id).values(values).returning(budget_alert)
        return await self._find(statement)

    async def find(self, alert_id: uuid.UUID) -> Alert | None:
        return await self._find(select(budget_alert).where(_ALERTS.alert_id == alert_id))

    async def read_page(self, page: AlertPage) -> list[Alert]:
        statement = select(budget_alert).order_by(_ALERTS.create_time.desc(), _ALERTS.alert_id.desc())
        if page.before is not None:
            position = tuple_(*(literal(part) for part in page.before))
            statement = statement.where(tuple_(_ALERTS.create_time, _ALERTS.alert_id) < position)
        if page.budget is not None:
            statement = statement.where(_ALERTS.budget == page.budget)
        if page.state is not None:
            statement = statement.where(_ALERTS.state == page.state)
        async with self._database.transaction() as connection:
            rows = await connection.execute(statement.limit(page.limit))
            return [_to_alert(row) for row in rows.mappings()]

    async def forget(self, ended_before: datetime, limit: int) -> int:
        """Removes up to `limit` alerts of windows that ended before then; how many it were."""
        old = select(_ALERTS.alert_id).where(_ALERTS.window_end < ended_before).limit(limit)
        async with self._database.transaction() as connection:
            result = await connection.execute(delete(budget_alert).where(_ALERTS.alert_id.in_(old)))
            return int(result.rowcount)

    async def _find(self, statement: Any) -> Alert | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
            return None if row is None else _to_alert(row)


def alert_values(alert: Alert) -> dict[str, Any]:
    """The columns of a new alert."""
    return {
        "alert_id": alert.alert_id,
        "budget": alert.budget,
        "budget_uid": alert.budget_uid,
        "bucket_id": alert.bucket_id,
        "bucket_group": dict(alert.group),
        "window_start": alert.window.start,
        "window_end": alert.window.end,
        "threshold_percent": alert.threshold_percent,
        "amount_nano_usd": alert.amount_nano_usd,
        "spent_nano_usd": alert.spent_nano_usd,
        "create_time": alert.create_time,
        "standing": True,
        "body": alert.body,
        **_delivery_values(alert.delivery),
    }


def _is_due(now: datetime) -> ColumnElement[bool]:
    return (_ALERTS.next_attempt_time <= now) & _is_unclaimed(_ALERTS.claim_end_time, now)


def _is_unclaimed(claim_end_time: ColumnElement[datetime], now: datetime) -> ColumnElement[bool]:
    return or_(claim_end_time.is_(None), claim_end_time <= now)


def _next_of_budgets(now: datetime, limit: int) -> Select[tuple[uuid.UUID]]:
    """Of each budget that no try is under way of: its alert that has been due for longest, lower thresholds first."""
    tried = budget_alert.alias("tried")
    is_busy = exists().where(tried.c.budget_uid == _ALERTS.budget_uid, tried.c.claim_end_time > now)
    order = (_ALERTS.next_attempt_time, _ALERTS.threshold_percent, _ALERTS.alert_id)
    place = func.row_number().over(partition_by=_ALERTS.budget_uid, order_by=order).label("place")
    due = select(_ALERTS.alert_id, _ALERTS.next_attempt_time, place).where(_is_due(now), ~is_busy).subquery()
    return select(due.c.alert_id).where(due.c.place == 1).order_by(due.c.next_attempt_time).limit(limit)


def _delivery_values(delivery: Delivery) -> dict[str, Any]:
    return {name: getattr(delivery, name) for name in Delivery.__slots__}


def _to_alert(row: RowMapping | Mapping[str, Any]) -> Alert:
    delivery = {name: row[name] for name in Delivery.__slots__}
    return Alert(
        alert_id=row["alert_id"],
        budget=row["budget"],
        budget_uid=row["budget_uid"],
        bucket_id=row["bucket_id"],
        group=row["bucket_group"],
        window=Window(row["window_start"], row["window_end"]),
        threshold_percent=row["threshold_percent"],
        amount_nano_usd=row["amount_nano_usd"],
        spent_nano_usd=row["spent_nano_usd"],
        create_time=row["create_time"],
        body=row["body"],
        delivery=Delivery(**{**delivery, "state": AlertState(row["state"])}),
    )
