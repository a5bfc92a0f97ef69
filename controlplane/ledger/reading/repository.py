"""Reads of the ledger, each one transaction of bounded time."""

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Interval,
    Label,
    Select,
    Table,
    cast,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition
from controlplane.ledger.entries import ROLLUP_SUMS
from controlplane.ledger.reading.filters import Condition
from controlplane.ledger.reading.queries import CLOCK_SLACK_MS, LAST_MS, CallsQuery, Row, SumsQuery
from controlplane.ledger.tables import ledger_entry, usage_group, usage_rollup
from tollway.kernel.periods import DAY_MS, QUARTER_HOUR_S
from tollway.kernel.usage import event_time_ms, first_event_id

_QUERY_CANCELED = "57014"
_SET_TIMEOUT = text("SET LOCAL statement_timeout = '8s'")
_COLUMN_NAMES = {"model": "requested_model"}
_KEY_ID_PART = 4


class UsageReader:
    """Sums and single calls; raises Unavailable while the database is away, FailedPrecondition after 8 s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_sums(self, query: SumsQuery) -> Sequence[Row]:
        """Rows with `slot` (when there are slots), the dimensions of `group_by` and ROLLUP_SUMS, in that order."""
        async with self._transaction() as connection:
            result = await connection.execute(_sums_statement(query))
            return [dict(row) for row in result.mappings()]

    async def read_calls(self, query: CallsQuery) -> list[list[Row]]:
        """The entries of each call, in order of attempt."""
        async with self._transaction() as connection:
            calls = [row.request_id for row in await connection.execute(_calls_statement(query))]
            if not calls:
                return []
            found = await _read_entries(connection, calls)
        return [found[call] for call in calls]

    async def read_call(self, request_id: uuid.UUID) -> list[Row]:
        """The entries of one call in order of attempt; none when it is not there or has not ended."""
        async with self._transaction() as connection:
            entries = (await _read_entries(connection, [request_id])).get(request_id, [])
        return entries if any(entry["final"] for entry in entries) else []

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.transaction() as connection:
            await connection.execute(_SET_TIMEOUT)
            try:
                yield connection
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _QUERY_CANCELED:
                    raise
                raise FailedPrecondition("the query took too long; narrow its time range or filter") from error


async def _read_entries(connection: AsyncConnection, request_ids: list[uuid.UUID]) -> Mapping[uuid.UUID, list[Row]]:
    columns = ledger_entry.c
    lowest, highest = min(request_ids), max(request_ids)
    statement = (
        select(ledger_entry)
        .where(columns.request_id.in_(request_ids), columns.adjusts.is_(None))
        .where(*_entries_between(event_time_ms(lowest), event_time_ms(highest) + 1))
        .order_by(columns.request_id, columns.attempt, columns.event_id)
    )
    rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
    adjustments = await _read_adjustments(connection, [row["event_id"] for row in rows])
    entries: dict[uuid.UUID, list[Row]] = defaultdict(list)
    for row in rows:
        entries[row["request_id"]].append(_adjusted(row, adjustments[row["event_id"]]))
    return entries


async def _read_adjustments(connection: AsyncConnection, event_ids: list[uuid.UUID]) -> Mapping[uuid.UUID, list[Row]]:
    """Adjustments by what they adjust, in the order in which their runs posted; they may be in any partition."""
    columns = ledger_entry.c
    chosen = (columns.adjusts, columns.cost_nano_usd, columns.state, columns.price, columns.price_revision)
    statement = select(*chosen).where(columns.adjusts.in_(event_ids)).order_by(columns.adjusts, columns.run_id)
    found: dict[uuid.UUID, list[Row]] = defaultdict(list)
    for row in (await connection.execute(statement)).mappings() if event_ids else ():
        found[row["adjusts"]].append(dict(row))
    return found


def _adjusted(entry: Row, adjustments: list[Row]) -> Row:
    """An entry as it stands: its cost with all adjustments, and state and price of the last one."""
    if not adjustments:
        return entry
    cost_nano_usd = entry["cost_nano_usd"] + sum(row["cost_nano_usd"] for row in adjustments)
    last = {name: adjustments[-1][name] for name in ("state", "price", "price_revision")}
    return {**entry, **last, "cost_nano_usd": cost_nano_usd}


def _entries_between(start_ms: int, end_ms: int) -> list[ColumnElement[bool]]:
    """Bounds of the entries of calls that began in [start_ms, end_ms): partitions are pruned by them."""
    columns = ledger_entry.c
    return [
        columns.event_id >= first_event_id(max(0, start_ms - CLOCK_SLACK_MS)),
        columns.event_id < first_event_id(min(LAST_MS, end_ms + DAY_MS)),
    ]


def _calls_statement(query: CallsQuery) -> Select[tuple[uuid.UUID]]:
    columns = ledger_entry.c
    end = first_event_id(query.end_ms)
    return (
        select(columns.request_id)
        .where(columns.final, columns.adjusts.is_(None))
        .where(columns.request_id >= first_event_id(query.start_ms))
        .where(columns.request_id < (end if query.before is None else min(query.before, end)))
        .where(*_entries_between(query.start_ms, query.end_ms))
        .where(*(equality(ledger_entry, condition) for condition in query.conditions))
        .order_by(columns.request_id.desc())
        .limit(query.limit)
    )


def _sums_statement(query: SumsQuery) -> Select[Any]:
    sums_of, group = usage_rollup.c, usage_group.c
    dimensions: list[Label[Any]] = [group[_column_name(name)].label(name) for name in query.group_by]
    if query.interval_s:
        dimensions.insert(0, _slot(query).label("slot"))
    sums = [func.coalesce(cast(func.sum(sums_of[name]), BigInteger), 0).label(name) for name in ROLLUP_SUMS]
    statement = (
        select(*dimensions, *sums)
        .select_from(usage_rollup.join(usage_group, sums_of.group_id == group.group_id))
        .where(sums_of.span_s == QUARTER_HOUR_S, sums_of.slot >= query.start, sums_of.slot < query.end)
        .where(*(equality(usage_group, condition) for condition in query.conditions))
        .group_by(*dimensions)
        .order_by(*dimensions)
        .limit(query.limit)
    )
    if query.after:
        last = [literal(value, dimension.type) for value, dimension in zip(query.after, dimensions, strict=True)]
        statement = statement.where(tuple_(*(d.element for d in dimensions)) > tuple_(*last))
    return statement


def _slot(query: SumsQuery) -> ColumnElement[datetime]:
    start = literal(query.start, DateTime(timezone=True))
    length = literal(timedelta(seconds=query.interval_s), Interval)
    return func.date_bin(length, usage_rollup.c.slot, start, type_=DateTime(timezone=True))


def equality(table: Table, condition: Condition) -> ColumnElement[bool]:
    """`condition` on the rows of `table`, which is ledger_entry or usage_group."""
    column = table.c[_column_name(condition.dimension)]
    if condition.is_bare_key and condition.value:
        return func.split_part(column, "/", _KEY_ID_PART) == condition.value
    if condition.dimension == "key":
        # The team says nothing new, but entries are indexed by it.
        return (column == condition.value) & (table.c.team == condition.value.partition("/keys/")[0])
    return column == condition.value


def _column_name(dimension: str) -> str:
    return _COLUMN_NAMES.get(dimension, dimension)
