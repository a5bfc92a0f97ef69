"""One look at the buckets of budgets, by one process at a time, and the alerts that it makes."""

import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.quota.alerts.repository import alert_values
from controlplane.quota.alerts.rows import Alert
from controlplane.quota.alerts.tables import budget_alert

LOOK_LOCK = 0x616C6572747300
_IS_MINE = text("SELECT pg_try_advisory_xact_lock(:lock)")


class AlertLooks:
    """Looks come one after the other: what one has noticed the next one knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def next_look(self) -> AsyncIterator["Look | None"]:
        """None while another process looks; what the look keeps is committed at the end. Raises Unavailable."""
        async with self._database.transaction() as connection:
            is_mine = await connection.scalar(_IS_MINE, {"lock": LOOK_LOCK})
            yield Look(connection) if is_mine else None


class Look:
    """Reads what may be due, and keeps what is."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rearm(self, alert_ids: Collection[uuid.UUID]) -> None:
        """Their thresholds are not passed any more, and may be told of another amount."""
        if alert_ids:
            await self._connection.execute(
                update(budget_alert).where(budget_alert.c.alert_id.in_(alert_ids)).values(standing=False)
            )

    async def keep(self, alerts: Sequence[Alert]) -> None:
        """Makes alerts; those that there are already stay as they are."""
        if alerts:
            statement = insert(budget_alert).on_conflict_do_nothing()
            await self._connection.execute(statement, [alert_values(alert) for alert in alerts])
