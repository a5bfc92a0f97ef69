"""Folding of one day, in one transaction that keeps out bookings of that day."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import FromClause, Select, Table, delete, func, insert, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.ledger.entries import LATENCY_COUNTS, ROLLUP_SUMS
from controlplane.ledger.reading.conditions.repository import dimension_column
from controlplane.ledger.reading.dimensions import METADATA_PREFIX, ROLLUP_DIMENSIONS
from controlplane.ledger.repository import lock_day
from controlplane.ledger.rollups import DAY_S, folded
from controlplane.ledger.tables import (
    ledger_metadata_key,
    ledger_metadata_value,
    usage_group,
    usage_latency,
    usage_latency_marginal,
    usage_marginal,
    usage_rollup,
)
from tollway.kernel.periods import HOUR_S, QUARTER_HOUR_S

FOLD_LOCK = 0x666F6C64
FOLDED_TABLES = (usage_rollup, usage_latency, usage_marginal, usage_latency_marginal)
_ALL = ""
"""The dimension of sums over everything."""
_DAY = timedelta(days=1)


class FoldRepository:
    """Of `usage_day`; the database must let statements take as long as a day's sums need."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold_latest(self, last: date, *, settled: datetime) -> date | None:
        """Fold the latest day up to `last` that is not folded and has not been unfolded since `settled`.

        None when there is no such day, or another process is folding one. Raises Unavailable.
        """
        async with self._database.transaction() as connection:
            if not await connection.scalar(_TRY_LOCK, {"lock": FOLD_LOCK}):
                return None
            day: date | None = await connection.scalar(_FIND_DAY, {"last": last, "settled": settled})
            if day is not None:
                await fold_day(connection, day)
        return day

    async def count_values(self, day: date) -> Mapping[str, int]:
        """How many values each declared metadata key has on a day. Raises Unavailable."""
        keys, values = ledger_metadata_key.c, ledger_metadata_value.c
        joined = ledger_metadata_key.outerjoin(ledger_metadata_value, (values.key == keys.key) & (values.day == day))
        counts = select(keys.key, func.count(values.value).label("number")).select_from(joined)
        statement = counts.where(keys.until.is_(None)).group_by(keys.key)
        async with self._database.transaction() as connection:
            return {row.key: row.number for row in await connection.execute(statement)}


class Fold(NamedTuple):
    """What `table` has to hold of a folded day in `span_s` and, where it keeps dimensions apart, of `dimension`.

    `rows` gives it, of the rows that earlier folds have made; `sums` are the columns beyond the key.
    """

    table: Table
    span_s: int
    dimension: str | None
    sums: tuple[str, ...]
    rows: Select[Any]


async def fold_day(connection: AsyncConnection, day: date) -> None:
    """Waits for bookings of the day that are under way; others wait for the end of this transaction."""
    await lock_day(connection, day)
    for table in FOLDED_TABLES:
        await connection.execute(delete(table).where(table.c.span_s > QUARTER_HOUR_S, *_is_of(table, day)))
    for fold in folds_of(day, await read_dimensions(connection, day)):
        names = [column.name for column in fold.rows.selected_columns]
        await connection.execute(insert(fold.table).from_select(names, fold.rows))
    await connection.execute(_MARK_FOLDED, {"day": day})


async def read_dimensions(connection: AsyncConnection, day: date) -> list[str]:
    """What a day has sums of single dimensions for: everything together, and the metadata keys declared in it."""
    keys = [row.key for row in await connection.execute(_keys_of(day))]
    return [_ALL, *ROLLUP_DIMENSIONS, *(f"{METADATA_PREFIX}{key}" for key in keys)]


def folds_of(day: date, dimensions: Iterable[str]) -> Iterator[Fold]:
    """All folds of a day, each after those that its rows are taken from."""
    yield _fold(usage_rollup, ROLLUP_SUMS, day, QUARTER_HOUR_S, HOUR_S)
    yield _fold(usage_rollup, ROLLUP_SUMS, day, HOUR_S, DAY_S)
    yield _fold(usage_latency, LATENCY_COUNTS, day, QUARTER_HOUR_S, DAY_S)
    for dimension in dimensions:
        yield _reduce(usage_rollup, usage_marginal, ROLLUP_SUMS, day, HOUR_S, dimension)
        yield _reduce(usage_latency, usage_latency_marginal, LATENCY_COUNTS, day, DAY_S, dimension)
    yield _fold(usage_marginal, ROLLUP_SUMS, day, HOUR_S, DAY_S)


def _fold(table: Table, sums: tuple[str, ...], day: date, from_s: int, to_s: int) -> Fold:
    """From one span of the day to a coarser one."""
    key = [column.name for column in table.primary_key if column.name not in ("span_s", "slot")]
    rows = select(table).where(table.c.span_s == from_s, *_is_of(table, day)).subquery("finer")
    return Fold(table, to_s, None, sums, folded(rows, to_s, sums, *key))


def _reduce(source: Table, target: Table, sums: tuple[str, ...], day: date, span_s: int, dimension: str) -> Fold:
    """From sums per group to those of one dimension."""
    value = dimension_column(usage_group, dimension, "labels") if dimension else literal(_ALL)
    finer = [source.c[c.name] for c in target.primary_key if c.name not in ("dimension", "span_s", "slot", "value")]
    key = [source.c.slot, value.label("value"), *finer]
    added = [func.sum(source.c[name]).label(name) for name in sums]
    rows = (
        select(literal(dimension).label("dimension"), literal(span_s).label("span_s"), *key, *added)
        .select_from(source.join(usage_group, source.c.group_id == usage_group.c.group_id))
        .where(source.c.span_s == span_s, *_is_of(source, day))
        .group_by(*key)
    )
    return Fold(target, span_s, dimension, sums, rows)


def _is_of(table: FromClause, day: date) -> list[Any]:
    start = datetime.combine(day, time(), UTC)
    return [table.c.slot >= start, table.c.slot < start + _DAY]


def _keys_of(day: date) -> Any:
    """Metadata keys that were declared at some time of the day."""
    start, keys = datetime.combine(day, time(), UTC), ledger_metadata_key.c
    is_within = (keys.since < start + _DAY) & (keys.until.is_(None) | (keys.until > start))
    return select(keys.key).where(is_within).distinct().order_by(keys.key)


_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_FIND_DAY = text(
    "SELECT d::date FROM generate_series("
    "(SELECT min(slot) AT TIME ZONE 'UTC' FROM usage_rollup WHERE span_s = 900)::date,"
    " CAST(:last AS date), interval '1 day') AS d LEFT JOIN usage_day u ON u.day = d::date"
    " WHERE u.day IS NULL OR (NOT u.folded AND u.change_time < :settled) ORDER BY d DESC LIMIT 1"
)
_MARK_FOLDED = text(
    "INSERT INTO usage_day (day, folded, change_time) VALUES (:day, true, now())"
    " ON CONFLICT (day) DO UPDATE SET folded = true, change_time = now()"
)
