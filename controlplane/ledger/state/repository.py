"""The ledger's state, the gaps of producers, and the run of the nightly check."""

from datetime import date, timedelta

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.ledger.checks.reports import GAP_AGE_S, MOST_GAPS, CheckRun, Gap, LedgerState
from controlplane.ledger.repository import MOST_STRAYS
from controlplane.ledger.retention.repository import DetachedTables, read_detached_tables
from controlplane.ledger.tables import ledger_check


class StateRepository:
    """Raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> LedgerState:
        """Everything as of one moment, but for gaps that consumers have not noted yet."""
        async with self._database.snapshot() as connection:
            tables = await read_detached_tables(connection)
            gaps = (
                await connection.execute(_READ_GAPS, {"age": timedelta(seconds=GAP_AGE_S), "most": MOST_GAPS})
            ).all()
            stray, late = (await connection.execute(_COUNT_STRAYS, {"most": MOST_STRAYS})).one()
            first, last = await _days(connection, tables)
            return LedgerState(
                gaps=[Gap(gap.boot_id, gap.first, gap.last, gap.seen_time) for gap in gaps],
                stray_entries=stray,
                late_entries=late,
                dead_letters=(await connection.execute(_COUNT_LETTERS)).scalar_one(),
                detached_days=list(tables.days.values()),
                first_day=first,
                last_day=last,
                check=await _read_check(connection),
            )

    async def note_gaps(self) -> None:
        """Note numbers that are missing now, and forget those that are not; a gap keeps the time it was first seen."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_GAPS)
            await connection.execute(_NOTE_GAPS)

    async def begin_check(self, interval: timedelta) -> bool:
        """Whether no check began within `interval`; then this one is the caller's to do."""
        async with self._database.transaction() as connection:
            begun = await connection.execute(_BEGIN_CHECK, {"interval": interval})
            return begun.rowcount > 0

    async def end_check(self, days: int, drifts: int) -> None:
        """The check that was begun has compared `days` days."""
        async with self._database.transaction() as connection:
            await connection.execute(_END_CHECK, {"days": days, "drifts": drifts})


async def _days(connection: AsyncConnection, tables: DetachedTables) -> tuple[date | None, date | None]:
    found = [day for day in (await connection.execute(_READ_DAYS)).one() if day is not None]
    days = [*found, *tables.days]
    return (min(days), max(days)) if days else (None, None)


async def _read_check(connection: AsyncConnection) -> CheckRun | None:
    row = (await connection.execute(select(ledger_check))).one_or_none()
    return None if row is None else CheckRun(row.start_time, row.end_time, row.days, row.drifts)


_LOCK_GAPS = text("LOCK TABLE ledger_gap IN SHARE ROW EXCLUSIVE MODE")
_NOTE_GAPS = text(
    "WITH missing AS ("
    "  SELECT boot_id, unnest(int8multirange(int8range(1, upper(booked))) - booked) AS missing FROM ledger_producer"
    "  WHERE booked <> int8multirange(int8range(1, upper(booked))) AND NOT isempty(booked)"
    "), gone AS ("
    "  DELETE FROM ledger_gap g WHERE NOT EXISTS"
    "    (SELECT FROM missing m WHERE m.boot_id = g.boot_id AND m.missing = g.missing)"
    ")"
    " INSERT INTO ledger_gap (boot_id, missing, seen_time)"
    " SELECT boot_id, missing, coalesce((SELECT min(g.seen_time) FROM ledger_gap g"
    "   WHERE g.boot_id = m.boot_id AND g.missing && m.missing), now()) FROM missing m"
    " ON CONFLICT DO NOTHING"
)
_READ_GAPS = text(
    "SELECT g.boot_id, lower(m.missing) AS first, upper(m.missing) - 1 AS last, g.seen_time"
    " FROM ledger_gap g JOIN ledger_producer p USING (boot_id)"
    " CROSS JOIN LATERAL unnest(int8multirange(g.missing) - p.booked) AS m(missing)"
    " WHERE g.seen_time < now() - CAST(:age AS interval) ORDER BY 1, 2 LIMIT :most"
)
_COUNT_STRAYS = text(
    "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM ledger_detached_day d"
    " WHERE d.day = (s.start_time AT TIME ZONE 'UTC')::date))"
    " FROM (SELECT start_time FROM ledger_entry_default LIMIT :most) AS s"
)
_COUNT_LETTERS = text("SELECT count(*) FROM ledger_dead_letter WHERE discard_time IS NULL")
_READ_DAYS = text(
    "SELECT (r.first AT TIME ZONE 'UTC')::date, (r.last AT TIME ZONE 'UTC')::date,"
    " (e.first AT TIME ZONE 'UTC')::date, (e.last AT TIME ZONE 'UTC')::date"
    " FROM (SELECT min(slot) AS first, max(slot) AS last FROM usage_rollup WHERE span_s = 900) AS r,"
    " (SELECT (SELECT start_time FROM ledger_entry ORDER BY event_id LIMIT 1) AS first,"
    " (SELECT start_time FROM ledger_entry ORDER BY event_id DESC LIMIT 1) AS last) AS e"
)
_BEGIN_CHECK = text(
    "INSERT INTO ledger_check (start_time) VALUES (now()) ON CONFLICT (is_only)"
    " DO UPDATE SET start_time = now(), end_time = NULL"
    " WHERE ledger_check.start_time < now() - CAST(:interval AS interval)"
)
_END_CHECK = text("UPDATE ledger_check SET end_time = now(), days = :days, drifts = :drifts")
