"""Periods in which metadata keys are declared; they begin and end on quarter hours that have no entries yet."""

from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.tables import ledger_metadata_key, quarter_rollup
from tollway.kernel.periods import QUARTER_HOUR_S, quarter_hour_start

# Entries of data planes whose clock is further ahead than this do not put a declaration off.
FURTHEST_AHEAD = timedelta(hours=1)
_QUARTER_HOUR = timedelta(seconds=QUARTER_HOUR_S)
# Bookings read the table: this waits for those that have, and others wait for this transaction.
_LOCK = text("LOCK TABLE ledger_metadata_key IN ACCESS EXCLUSIVE MODE")


class MetadataKeyStore:
    """`claimed` are the keys that this transaction is about to declare."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.claimed: set[str] = set()

    async def list_declared(self) -> set[str]:
        """Keys whose declaration has no end."""
        keys = ledger_metadata_key.c
        return {row.key for row in await self._connection.execute(select(keys.key).where(keys.until.is_(None)))}

    async def next_boundary(self, now: datetime) -> datetime:
        """The first quarter hour after `now` without entries; none is booked until this transaction ends."""
        await self._connection.execute(_LOCK)
        slots = quarter_rollup.c
        latest = select(func.max(slots.slot)).where(slots.span_s == QUARTER_HOUR_S, slots.slot < now + FURTHEST_AHEAD)
        last: datetime | None = await self._connection.scalar(latest)
        current = quarter_hour_start(now)
        return max(current, last or current) + _QUARTER_HOUR

    async def declare(self, key: str, since: datetime) -> None:
        statement = insert(ledger_metadata_key).values(key=key, since=since, until=None)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["key", "since"], set_={"until": None})
        )

    async def end(self, key: str, until: datetime) -> None:
        keys = ledger_metadata_key.c
        ended = update(ledger_metadata_key).where(keys.key == key, keys.until.is_(None))
        await self._connection.execute(ended.values(until=func.greatest(keys.since, until)))
