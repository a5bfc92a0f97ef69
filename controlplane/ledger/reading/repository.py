"""Reads of the ledger, each one transaction of bounded time that sees one moment."""

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition
from controlplane.ledger.entries import ROLLUP_SUMS
from controlplane.ledger.reading.calls.repository import read_entries, read_request_ids
from controlplane.ledger.reading.filters import Condition
from controlplane.ledger.reading.queries import FEW_ROWS, NO_BUCKET, PERCENTILES, CallsQuery, Row, SumsQuery
from controlplane.ledger.reading.sources import Source, Standing, source_of
from controlplane.ledger.reading.sums.repository import percentiles_statement, sums_statement
from controlplane.ledger.tables import ledger_detached_day, ledger_metadata_key, usage_day

_QUERY_CANCELED = "57014"
# Plans are made for the values at hand: how many rows a range has decides between them. A month of sums is added up in
# memory, not on disk.
_SETTINGS = text(
    "SELECT set_config('statement_timeout', '10s', true), set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('work_mem', '64MB', true)"
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of a page as sums_statement has them; `total` is all rows of all pages, if asked for."""

    rows: Sequence[Row]
    total: Row | None


class UsageReader:
    """Sums and single calls; raises Unavailable while the database is away, FailedPrecondition after 10 s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_sums(self, query: SumsQuery, *, with_total: bool) -> Sums:
        """Raises FailedPrecondition too when only entries could answer and they cannot."""
        async with self._transaction() as connection:
            standing = await _read_standing(connection, query)
            source = source_of(query, standing)
            async with _told_in_time(source):
                rows = await _fetch(connection, query, source, standing)
                query = replace(query, latencies=_wants_percentiles(query, rows))
                total = None
                if with_total:
                    total = await _read_total(connection, query, source, standing, rows)
        return Sums(rows, total)

    async def read_calls(self, query: CallsQuery) -> list[list[Row]]:
        """The entries of each call, in order of attempt, its adjustments at the end."""
        async with self._transaction() as connection, _told_in_time(Source.ENTRIES):
            calls = await read_request_ids(connection, query)
            if not calls:
                return []
            found = await read_entries(connection, calls)
        return [found[call] for call in calls]

    async def read_call(self, request_id: uuid.UUID) -> list[Row]:
        """The entries of one call as above; none when it is not there or has not ended."""
        async with self._transaction() as connection, _told_in_time(Source.ENTRIES):
            entries = (await read_entries(connection, [request_id])).get(request_id, [])
        return entries if any(entry["final"] for entry in entries) else []

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.snapshot() as connection:
            await connection.execute(_SETTINGS)
            yield connection


async def _fetch(connection: AsyncConnection, query: SumsQuery, source: Source, standing: Standing) -> list[Row]:
    result = await connection.execute(sums_statement(query, source, standing))
    rows: list[Row] = [dict(row) for row in result.mappings()]
    if rows and _wants_percentiles(query, rows) and not any(name in rows[0] for name in PERCENTILES):
        return await _with_percentiles(connection, query, source, standing, rows)
    return rows


def _wants_percentiles(query: SumsQuery, rows: Sequence[Row]) -> bool:
    """Unless told, only where they cost little: of few rows, and of one dimension, whose latencies are added up."""
    if query.latencies is not None:
        return query.latencies
    return len(rows) <= FEW_ROWS and len(query.dimensions) <= 1


async def _with_percentiles(
    connection: AsyncConnection, query: SumsQuery, source: Source, standing: Standing, rows: list[Row]
) -> list[Row]:
    """Latencies are many, so that only those of the page's groups are read."""
    names = ["number", *(f"d{place}" for place in range(len(query.group_by)))]
    values = [Condition(d, "IN", tuple({row[f"d{place}"] for row in rows})) for place, d in enumerate(query.group_by)]
    narrow = replace(query, conditions=(*query.conditions, *values))
    result = await connection.execute(percentiles_statement(narrow, source, standing))
    found = {tuple(row[name] for name in names): row for row in result.mappings()}
    none = dict.fromkeys(PERCENTILES, NO_BUCKET)
    ranked = (found.get(tuple(row[name] for name in names), none) for row in rows)
    return [{**row, **{name: own[name] for name in PERCENTILES}} for row, own in zip(rows, ranked, strict=True)]


async def _read_total(
    connection: AsyncConnection, query: SumsQuery, source: Source, standing: Standing, rows: Sequence[Row]
) -> Row:
    """Added up from a page that has all rows, unless there are percentiles, which do not add up."""
    if len(rows) < query.limit and not query.latencies:
        return {name: sum(row[name] for row in rows) for name in ROLLUP_SUMS}
    whole = replace(query, boundaries=(query.start, query.end), group_by=(), order=None, after=(), limit=1)
    narrower = source if source is Source.ENTRIES else source_of(whole, standing)
    found = await _fetch(connection, whole, narrower, standing)
    return found[0] if found else dict.fromkeys(ROLLUP_SUMS, 0)


@asynccontextmanager
async def _told_in_time(source: Source) -> AsyncIterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _QUERY_CANCELED:
            raise
        advice = "; or declare a MetadataKey for the metadata it needs" if source is Source.ENTRIES else ""
        text = "the query took longer than 10 s: shorten its time range or narrow its filter"
        raise FailedPrecondition(text + advice) from error


async def _read_standing(connection: AsyncConnection, query: SumsQuery) -> Standing:
    is_in_range = usage_day.c.day.between(query.start.date(), query.end.date())
    days = await connection.execute(select(usage_day.c.day).where(usage_day.c.folded, is_in_range))
    folded = frozenset(row.day for row in days)
    detached = await connection.scalar(select(func.max(ledger_detached_day.c.day)))
    return Standing(folded, await _read_declared(connection), detached)


async def _read_declared(connection: AsyncConnection) -> Mapping[str, Sequence[tuple[datetime, datetime | None]]]:
    declared: dict[str, list[Any]] = defaultdict(list)
    for row in await connection.execute(select(ledger_metadata_key)):
        declared[row.key].append((row.since, row.until))
    return declared
