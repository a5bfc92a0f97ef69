"""Single calls in SQL: entries by request id, and pages of calls."""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.reading.conditions.repository import all_hold, owning_teams
from controlplane.ledger.reading.queries import CLOCK_SLACK_MS, LAST_MS, CallsQuery, Row
from controlplane.ledger.tables import ledger_entry
from tollway.kernel.periods import DAY_MS
from tollway.kernel.usage import event_time_ms, first_event_id


async def read_request_ids(connection: AsyncConnection, query: CallsQuery) -> list[uuid.UUID]:
    return [row.request_id for row in await connection.execute(_calls_statement(query))]


async def read_entries(connection: AsyncConnection, request_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, list[Row]]:
    """The entries of each call in order of attempt, and after them their adjustments, the oldest first."""
    columns = ledger_entry.c
    lowest, highest = min(request_ids), max(request_ids)
    statement = (
        select(ledger_entry)
        .where(columns.request_id.in_(request_ids), columns.adjusts.is_(None))
        .where(*_entries_between(event_time_ms(lowest), event_time_ms(highest) + 1))
        .order_by(columns.request_id, columns.attempt, columns.event_id)
    )
    found = [dict(row) for row in (await connection.execute(statement)).mappings()]
    entries: dict[uuid.UUID, list[Row]] = defaultdict(list)
    for row in [*found, *await _read_adjustments(connection, [row["event_id"] for row in found])]:
        entries[row["request_id"]].append(row)
    return entries


async def _read_adjustments(connection: AsyncConnection, event_ids: Sequence[uuid.UUID]) -> list[dict[str, Any]]:
    """Wherever they lie: those of a closed month count, and are kept, in a later one."""
    if not event_ids:
        return []
    columns = ledger_entry.c
    statement = select(ledger_entry).where(columns.adjusts.in_(event_ids))
    ordered = statement.order_by(columns.booked_time, columns.event_id)
    return [dict(row) for row in (await connection.execute(ordered)).mappings()]


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
    statement = (
        select(columns.request_id)
        .where(columns.final, columns.adjusts.is_(None))
        .where(columns.request_id >= first_event_id(query.start_ms))
        .where(columns.request_id < (end if query.before is None else min(query.before, end)))
        .where(*_entries_between(query.start_ms, query.end_ms))
        .where(*all_hold(ledger_entry, query.conditions, "metadata"))
        .order_by(columns.request_id.desc())
        .limit(query.limit)
    )
    teams = owning_teams(query.conditions)
    # The team of a key says nothing new, but entries are indexed by it.
    return statement if teams is None else statement.where(columns.team.in_(teams))
