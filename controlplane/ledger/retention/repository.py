"""Days taken out of the ledger's table: detached and recorded, found again, and their producers forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import DDL, MetaData, Table, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.ledger.checks.reports import DetachedDay
from controlplane.ledger.partitions import day_of_name, partition_of
from controlplane.ledger.repository import PARTITION_LOCK, lock_day
from controlplane.ledger.tables import ledger_detached_day, ledger_entry

LOCK_WAIT_MS = 500


@dataclass(frozen=True, slots=True)
class DetachedTables:
    """The days that are detached as of one look, and where their entries are."""

    days: Mapping[date, DetachedDay]

    @property
    def adjusted(self) -> list[str]:
        """Names of the tables at hand that hold adjustments."""
        return [day.table_name for day in self.days.values() if day.is_kept and day.adjustments]

    def is_dropped(self, day: date) -> bool:
        """Whether entries of `day` are in no table any more."""
        found = self.days.get(day)
        return found is not None and not found.is_kept

    def kept_of(self, day: date) -> list[str]:
        """The table of `day`, when it is detached and at hand."""
        found = self.days.get(day)
        return [found.table_name] if found is not None and found.is_kept else []

    def recorded_of(self, day: date) -> DetachedDay | None:
        """What was counted when `day` was detached; None when it was not."""
        return self.days.get(day)

    def table(self, name: str) -> Table:
        return ledger_entry.to_metadata(MetaData(), name=name)


async def read_detached_tables(connection: AsyncConnection) -> DetachedTables:
    """The days whose partition is not in the ledger's table at this moment."""
    rows = await connection.execute(_READ_DETACHED, {"columns": [column.name for column in ledger_entry.columns]})
    found = (
        DetachedDay(
            day=row.day,
            table_name=row.table_name,
            entries=row.entries,
            cost_nano_usd=int(row.cost_nano_usd),
            adjustments=row.adjustments,
            detach_time=row.detach_time,
            is_kept=row.is_kept,
        )
        for row in rows
    )
    return DetachedTables({day.day: day for day in found})


class RetentionRepository:
    """Writes of the ledger's retention, each one transaction; raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attached_days(self) -> list[date]:
        """Days that have a partition, the oldest first."""
        async with self._database.transaction() as connection:
            names = (await connection.execute(_ATTACHED_NAMES)).scalars()
            return sorted(day for name in names if (day := day_of_name(name)) is not None)

    async def detach(self, day: date) -> bool:
        """Take the partition of `day` out, when it is there; its table stays.

        Bookings of that day wait meanwhile, others at most LOCK_WAIT_MS; Unavailable when that was not enough.
        """
        partition = partition_of(day)
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_PARTITIONS, {"lock": PARTITION_LOCK})
            await lock_day(connection, day)
            if partition.name not in (await connection.execute(_ATTACHED_NAMES)).scalars().all():
                return False
            await _record(connection, day, partition.name)
            await connection.execute(_SHORT_WAIT)
            context = {"name": partition.name}
            statement = "ALTER TABLE ledger_entry DETACH PARTITION %(name)s"
            await connection.execute(DDL(statement, context=context))  # type: ignore[no-untyped-call]
        return True

    async def note_changes_by_hand(self) -> list[date]:
        """Record days that somebody else has detached, forget those that were attached again; the former."""
        async with self._database.transaction() as connection:
            await connection.execute(_FORGET_ATTACHED)
            names = (await connection.execute(_UNRECORDED_NAMES)).scalars().all()
            days = [day for name in names if (day := day_of_name(name)) is not None]
            for day in days:
                await lock_day(connection, day)
                await _record(connection, day, partition_of(day).name)
        return days

    async def forget_producers(self, before: datetime) -> int:
        """Forget producers that are booked without a gap, the last of it before `before`; how many there were."""
        async with self._database.transaction() as connection:
            forgotten = (await connection.execute(_FORGET_PRODUCERS, {"before": before})).rowcount
            if forgotten:
                await connection.execute(_MOVE_HORIZON, {"before": before})
        return forgotten


async def _record(connection: AsyncConnection, day: date, name: str) -> None:
    """Count what the table holds; what was recorded of an earlier detachment is replaced."""
    table = ledger_entry.to_metadata(MetaData(), name=name)
    is_usage = table.c.adjusts.is_(None)
    counts = select(
        func.count().filter(is_usage),
        func.coalesce(func.sum(table.c.cost_nano_usd).filter(is_usage), 0),
        func.count().filter(~is_usage),
    ).select_from(table)
    entries, cost_nano_usd, adjustments = (await connection.execute(counts)).one()
    values: dict[str, Any] = {
        "table_name": name,
        "entries": entries,
        "cost_nano_usd": cost_nano_usd,
        "adjustments": adjustments,
        "detach_time": func.now(),
    }
    statement = insert(ledger_detached_day).values(day=day, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["day"], set_=values))


_LOCK_PARTITIONS = text("SELECT pg_advisory_xact_lock(:lock)")
_SHORT_WAIT = text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_MS}ms'")
_ATTACHED_NAMES = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'ledger_entry'::regclass"
)
_UNRECORDED_NAMES = text(
    "SELECT c.relname FROM pg_class c WHERE c.relname LIKE 'ledger\\_entry\\_________' AND c.relkind = 'r'"
    " AND NOT c.relispartition AND pg_table_is_visible(c.oid)"
    " AND NOT EXISTS (SELECT FROM ledger_detached_day d WHERE d.table_name = c.relname)"
)
_FORGET_ATTACHED = text(
    "DELETE FROM ledger_detached_day d USING pg_class c WHERE c.oid = to_regclass(d.table_name) AND c.relispartition"
)
# A table that was detached before a migration lacks columns that came with it, and is not compared any more.
_READ_DETACHED = text(
    "SELECT d.*, c.oid IS NOT NULL AND cardinality(CAST(:columns AS text[])) ="
    " (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY(CAST(:columns AS text[])))"
    " AS is_kept"
    " FROM ledger_detached_day d LEFT JOIN pg_class c ON c.oid = to_regclass(d.table_name)"
    " WHERE c.oid IS NULL OR NOT c.relispartition ORDER BY d.day"
)
_FORGET_PRODUCERS = text(
    "DELETE FROM ledger_producer WHERE last_time < :before AND booked = int8multirange(int8range(1, upper(booked)))"
)
_MOVE_HORIZON = text(
    "INSERT INTO ledger_producer_horizon (forgotten_before) VALUES (:before) ON CONFLICT (is_only)"
    " DO UPDATE SET forgotten_before = greatest(ledger_producer_horizon.forgotten_before, excluded.forgotten_before)"
)
