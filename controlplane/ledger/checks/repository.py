"""Sums compared with entries, and made anew from them, a day at a time and in it as much as one statement may take."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    MetaData,
    RowMapping,
    Select,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition
from controlplane.ledger.checks.reports import DayReport, Drift, DriftKind, Repaired
from controlplane.ledger.entries import GROUP_DIMENSIONS, LATENCY_COUNTS, ROLLUP_SUMS
from controlplane.ledger.folding.repository import FOLDED_TABLES, folds_of, read_dimensions
from controlplane.ledger.repository import lock_day
from controlplane.ledger.retention.repository import DetachedTables, read_detached_tables
from controlplane.ledger.rollups import (
    SPANS_S,
    add_latencies,
    add_sums,
    groups_of,
    keyed,
    latencies_of,
    sums_of,
)
from controlplane.ledger.tables import ledger_entry, usage_day, usage_group, usage_latency, usage_rollup
from tollway.kernel.periods import QUARTER_HOUR_S
from tollway.kernel.usage import first_event_id

PART_ENTRIES = 100_000
_PART_NUMBERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)
_DAY = timedelta(days=1)
_ENTRIES_SUM, _COST_SUM = "entries", "cost_nano_usd"
_KEYS = ("dimension", "span_s", "slot", "group_id", "value", "bucket")
Slots = tuple[datetime, datetime]
"""A range of time, its end not included."""


class DayCheckRepository:
    """Checks and repairs of single UTC days; raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, day: date) -> DayReport:
        """Compares all sums of `day` with its entries as of one moment."""
        report = DayReport(day)
        slots = _slots(day)
        async with self._database.snapshot() as connection:
            tables = await read_detached_tables(connection)
            report.only_totals = tables.is_dropped(day)
            await connection.run_sync(_KEYED.create)
            if not report.only_totals:
                for part in await _parts(connection, tables, slots):
                    await _fill(connection, tables, part)
                    await _compare_quarters(connection, part, report)
            await _compare_spans(connection, slots, report)
            await _compare_recorded(connection, tables, report)
        return report

    async def repair(self, day: date) -> Repaired:
        """Makes the sums of `day` anew in one transaction; bookings of that day wait for it.

        Raises FailedPrecondition when entries of the day are gone from the database.
        """
        slots = _slots(day)
        async with self._database.transaction() as connection:
            await lock_day(connection, day)
            tables = await read_detached_tables(connection)
            if tables.is_dropped(day):
                text_ = f"entries of {day} were detached and are not in the database: its sums are all that is left"
                raise FailedPrecondition(text_, resource=f"ledger/days/{day}")
            removed = [await _remove(connection, table, slots) for table in FOLDED_TABLES]
            made = [0, 0]
            await connection.run_sync(_KEYED.create)
            for part in await _parts(connection, tables, slots):
                await _fill(connection, tables, part)
                await connection.execute(_put_groups())
                for index, statement in enumerate((add_sums(_KEYED), add_latencies(_KEYED))):
                    made[index] += (await connection.execute(statement)).rowcount
            await connection.execute(update(usage_day).where(usage_day.c.day == day).values(folded=False))
        return Repaired(removed[0], made[0], removed[1], made[1])


def _slots(day: date) -> Slots:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + _DAY


async def _parts(connection: AsyncConnection, tables: DetachedTables, slots: Slots) -> list[Slots]:
    """A day in equal parts of whole quarter hours, so many that each has about PART_ENTRIES entries."""
    entries = (await connection.execute(select(func.count()).select_from(_entries(tables, slots)))).scalar_one()
    number = next((n for n in _PART_NUMBERS if entries <= n * PART_ENTRIES), _PART_NUMBERS[-1])
    starts = [slots[0] + n * _DAY / number for n in range(number + 1)]
    return list(pairwise(starts))


async def _fill(connection: AsyncConnection, tables: DetachedTables, slots: Slots) -> None:
    """Let _KEYED hold the entries of `slots`, and nothing else."""
    await connection.execute(_EMPTY_KEYED)
    rows = keyed(_entries(tables, slots))
    names = [column.name for column in _KEYED.columns]
    picked = rows.subquery("keyed_rows")
    await connection.execute(insert(_KEYED).from_select(names, select(*(picked.c[name] for name in names))))


def _entries(tables: DetachedTables, slots: Slots) -> FromClause:
    """Usage of calls that began in `slots`, and adjustments that count there, whichever table they are in."""
    start, end = slots
    parts: list[Select[Any]] = []
    for table in (ledger_entry, *(tables.table(name) for name in tables.kept_of(start.date()))):
        ids = (table.c.event_id >= _first_id(start), table.c.event_id < _first_id(end))
        parts.append(_columns(table).where(table.c.adjusts.is_(None), *ids))
    for table in (ledger_entry, *map(tables.table, tables.adjusted)):
        times = (table.c.start_time >= start, table.c.start_time < end)
        parts.append(_columns(table).where(table.c.adjusts.is_not(None), *times))
    return parts[0].union_all(*parts[1:]).subquery("entries")


def _columns(table: Table) -> Select[Any]:
    return select(*(table.c[column.name] for column in ledger_entry.columns))


def _first_id(time: datetime) -> Any:
    return first_event_id(int(time.timestamp()) * 1000)


async def _compare_quarters(connection: AsyncConnection, slots: Slots, report: DayReport) -> None:
    count, cost = (await connection.execute(_TOTALS)).one()
    report.entries += count
    report.cost_nano_usd += cost
    sums = _kept(usage_rollup, QUARTER_HOUR_S, slots)
    report.add(await _differences(connection, sums_of(_KEYED).subquery(), sums, DriftKind.SUMS, ROLLUP_SUMS))
    latencies = _kept(usage_latency, QUARTER_HOUR_S, slots)
    expected = latencies_of(_KEYED).subquery()
    report.add(await _differences(connection, expected, latencies, DriftKind.LATENCY, LATENCY_COUNTS))
    report.add(await _group_differences(connection, slots))


async def _compare_spans(connection: AsyncConnection, slots: Slots, report: DayReport) -> None:
    """What the day was folded into, where that is in use, is what folding it now would give."""
    is_folded = select(usage_day.c.folded).where(usage_day.c.day == report.day)
    report.is_folded = bool((await connection.execute(is_folded)).scalar_one_or_none())
    if not report.is_folded:
        return
    for fold in folds_of(report.day, await read_dimensions(connection, report.day)):
        kind = DriftKind.LATENCY if fold.sums is LATENCY_COUNTS else DriftKind.SUMS
        kept = _kept(fold.table, fold.span_s, slots, fold.dimension)
        report.add(await _differences(connection, fold.rows.subquery(), kept, kind, fold.sums))


async def _compare_recorded(connection: AsyncConnection, tables: DetachedTables, report: DayReport) -> None:
    """What was counted when the day was detached is in its table or, when that is gone, in the day's sums."""
    recorded = tables.recorded_of(report.day)
    if recorded is None:
        return
    slots = _slots(report.day)
    if report.only_totals:
        late, late_cost = (await connection.execute(_usage_totals(ledger_entry, slots))).one()
        found = (await connection.execute(_sums_totals(slots))).one()
        expected = (recorded.entries + late, recorded.cost_nano_usd + late_cost)
        report.entries, report.cost_nano_usd = found
    else:
        found = (await connection.execute(_usage_totals(tables.table(recorded.table_name), slots))).one()
        expected = (recorded.entries, recorded.cost_nano_usd)
    drifts = [
        Drift(DriftKind.DETACHED, SPANS_S[-1], slots[0], name, wanted, there)
        for name, wanted, there in zip((_ENTRIES_SUM, _COST_SUM), expected, found, strict=True)
        if wanted != there
    ]
    report.add([drifts] if drifts else [])


def _usage_totals(table: Table, slots: Slots) -> Select[Any]:
    count, cost = func.count(), func.coalesce(func.sum(table.c.cost_nano_usd), 0)
    ids = (table.c.event_id >= _first_id(slots[0]), table.c.event_id < _first_id(slots[1]))
    return select(count, cost).select_from(table).where(table.c.adjusts.is_(None), *ids)


def _sums_totals(slots: Slots) -> Select[Any]:
    sums = _kept(usage_rollup, QUARTER_HOUR_S, slots)
    return select(
        func.coalesce(func.sum(sums.c.attempts + sums.c.refused), 0),
        func.coalesce(func.sum(sums.c.cost_nano_usd - sums.c.adjustment_nano_usd), 0),
    )


def _kept(table: Table, span_s: int, slots: Slots, dimension: str | None = None) -> FromClause:
    start, end = slots
    rows = select(table).where(table.c.span_s == span_s, table.c.slot >= start, table.c.slot < end)
    return (rows if dimension is None else rows.where(table.c.dimension == dimension)).subquery()


async def _differences(
    connection: AsyncConnection, expected: FromClause, kept: FromClause, kind: DriftKind, names: tuple[str, ...]
) -> list[list[Drift]]:
    """For each row that differs, its drifts. A row of zeros and no row are the same."""
    keys = [name for name in _KEYS if name in kept.c]
    pairs = {name: (_number(expected.c[name]), _number(kept.c[name])) for name in names}
    columns = [func.coalesce(expected.c[key], kept.c[key]).label(key) for key in keys]
    columns += [side.label(f"{role}_{name}") for name in names for role, side in zip("ek", pairs[name], strict=True)]
    on = and_(*(expected.c[key] == kept.c[key] for key in keys))
    statement = (
        select(*columns)
        .select_from(expected.outerjoin(kept, on, full=True))
        .where(or_(*(wanted != there for wanted, there in pairs.values())))
        .order_by(*(columns[: len(keys)]))
    )
    rows = (await connection.execute(statement)).mappings().all()
    groups = await _groups(connection, {row["group_id"] for row in rows if "group_id" in row})
    return [[*_drifts(row, kind, names, _shown_group(row, groups))] for row in rows]


def _shown_group(row: RowMapping, groups: Mapping[Any, dict[str, str]]) -> dict[str, str]:
    return groups.get(row["group_id"], {}) if "group_id" in row else {row["dimension"]: row["value"]}


def _number(column: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(column, 0)


def _drifts(row: RowMapping, kind: DriftKind, names: Sequence[str], group: dict[str, str]) -> Iterator[Drift]:
    for name in names:
        expected, found = row[f"e_{name}"], row[f"k_{name}"]
        if expected != found:
            yield Drift(
                kind,
                row["span_s"],
                row["slot"],
                name,
                expected,
                found,
                row.get("group_id"),
                group,
                row.get("bucket", 0),
            )


async def _groups(connection: AsyncConnection, group_ids: set[Any]) -> dict[Any, dict[str, str]]:
    """The dimensions of groups, by id."""
    if not group_ids:
        return {}
    rows = await connection.execute(select(usage_group).where(usage_group.c.group_id.in_(group_ids)))
    return {row["group_id"]: {name: row[name] for name in GROUP_DIMENSIONS} for row in rows.mappings()}


async def _group_differences(connection: AsyncConnection, slots: Slots) -> list[list[Drift]]:
    """Groups whose row is missing or is of another group."""
    expected, kept = groups_of(_KEYED).subquery(), usage_group
    names = [column.name for column in usage_group.columns if not column.primary_key]
    same = and_(*(kept.c[name] == expected.c[name] for name in names))
    wrong = (
        select(expected.c.group_id)
        .select_from(expected.outerjoin(kept, kept.c.group_id == expected.c.group_id))
        .where(or_(kept.c.group_id.is_(None), ~same))
    )
    sums = _kept(usage_rollup, QUARTER_HOUR_S, slots)
    nameless = select(sums.c.group_id).where(sums.c.group_id.not_in(select(kept.c.group_id)))
    rows = await connection.execute(wrong.union(nameless))
    return [[Drift(DriftKind.GROUP, QUARTER_HOUR_S, slots[0], "groups", 1, 0, group_id)] for group_id in rows.scalars()]


async def _remove(connection: AsyncConnection, table: Table, slots: Slots) -> int:
    start, end = slots
    return (await connection.execute(delete(table).where(table.c.slot >= start, table.c.slot < end))).rowcount


def _put_groups() -> Any:
    statement = upsert(usage_group)
    names = [column.name for column in usage_group.columns]
    changed = {name: statement.excluded[name] for name in names if name != "group_id"}
    return statement.from_select(names, groups_of(_KEYED)).on_conflict_do_update(
        index_elements=["group_id"], set_=changed
    )


_KEYED = Table(
    "ledger_check_keyed",
    MetaData(),
    Column("slot", DateTime(timezone=True)),
    *(Column(name, Text) for name in GROUP_DIMENSIONS),
    Column("labels", JSONB),
    Column("duration_bucket", SmallInteger),
    Column("first_frame_bucket", SmallInteger),
    *(Column(name, BigInteger) for name in ROLLUP_SUMS),
    Column("group_id", Uuid),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_EMPTY_KEYED = text("TRUNCATE ledger_check_keyed")
_TOTALS = select(func.count(), func.coalesce(func.sum(_KEYED.c.cost_nano_usd), 0))
