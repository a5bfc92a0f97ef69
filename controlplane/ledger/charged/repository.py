"""What entries charge to budgets, by bucket and window: read from the column `charges`, whichever table they are in."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Select, Table, Uuid, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.retention.repository import read_detached_tables
from controlplane.ledger.tables import ledger_entry
from controlplane.ledger.times import EPOCH
from tollway.kernel.periods import DAY_MS
from tollway.kernel.usage import event_time_ms, first_event_id

_PARTS_A_DAY = 4

Place = tuple[uuid.UUID, int]
"""A bucket, and the start of its window in Unix milliseconds."""


@dataclass(slots=True)
class LedgerCharges:
    """Sums in nano-USD: what entries charge, and what those entries cost, each counted once for a bucket.

    `whole_from_ms` is since when no entry is gone from the database.
    """

    whole_from_ms: int = 0
    amounts: Counter[Place] = field(default_factory=Counter)
    costs: Counter[Place] = field(default_factory=Counter)


async def read_charges(connection: AsyncConnection, since_ms: int) -> LedgerCharges:
    """Of entries since a day before `since_ms`, a part of a day at a time: clocks of data planes may differ a little.

    Belongs into a transaction that sees one moment.
    """
    detached = await read_detached_tables(connection)
    charges = LedgerCharges()
    charges.whole_from_ms = max(map(_end_ms, filter(detached.is_dropped, detached.days)), default=0)
    first_ms = since_ms - DAY_MS
    tables = [detached.table(day.table_name) for day in detached.days.values() if day.is_kept]
    for table in (*tables, ledger_entry):
        for start_ms, end_ms in await _parts(connection, table, first_ms):
            for row in await connection.execute(_sums(table, start_ms, end_ms)):
                place = (row.bucket_id, row.window_start_ms)
                charges.amounts[place] += row.amount
                charges.costs[place] += row.cost
    return charges


async def _parts(connection: AsyncConnection, table: Table, first_ms: int) -> list[tuple[int, int]]:
    """Spans of time that hold all entries of `table` from `first_ms` on."""
    ids = select(table.c.event_id).limit(1)
    first = (await connection.execute(ids.order_by(table.c.event_id))).scalar()
    last = (await connection.execute(ids.order_by(table.c.event_id.desc()))).scalar()
    return (
        [] if first is None or last is None else list(_spans(max(first_ms, event_time_ms(first)), event_time_ms(last)))
    )


def _spans(first_ms: int, last_ms: int) -> Iterator[tuple[int, int]]:
    length_ms = DAY_MS // _PARTS_A_DAY
    for start_ms in range(first_ms - first_ms % length_ms, last_ms + 1, length_ms):
        yield max(start_ms, first_ms), start_ms + length_ms


def _sums(table: Table, start_ms: int, end_ms: int) -> Select[Any]:
    rows = (
        select(func.jsonb_array_elements(table.c.charges, type_=JSONB).label("charge"), table.c.cost_nano_usd)
        .where(table.c.charges.is_not(None), table.c.event_id >= first_event_id(start_ms))
        .where(table.c.event_id < first_event_id(end_ms))
        .subquery("rows")
    )
    charge = rows.c.charge
    cost = func.coalesce(func.sum(rows.c.cost_nano_usd).filter(func.jsonb_array_length(charge) == 4), 0)
    return select(
        cast(charge[0].astext, Uuid).label("bucket_id"),
        cast(charge[2].astext, BigInteger).label("window_start_ms"),
        cast(func.sum(cast(charge[3].astext, BigInteger)), BigInteger).label("amount"),
        cast(cost, BigInteger).label("cost"),
    ).group_by(literal_column("1"), literal_column("2"))


def _end_ms(day: date) -> int:
    """Unix milliseconds at which a UTC day is over."""
    return ((day - EPOCH.date()).days + 1) * DAY_MS
