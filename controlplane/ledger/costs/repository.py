"""Costs in a period by what rules can tell apart: from sums where they know it, from entries where they do not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Select,
    Table,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.retention.repository import read_detached_tables
from controlplane.ledger.tables import ledger_entry, usage_day, usage_group, usage_rollup
from tollway.kernel.periods import DAY_MS, QUARTER_HOUR_S
from tollway.kernel.usage import first_event_id

_DAY_S = DAY_MS // 1000
_DAY = timedelta(days=1)
_COLUMNS = {"team": "team", "key": "key", "user": "key_owner", "model": "requested_model", "upstream": "upstream"}
_METADATA = "metadata."


@dataclass(frozen=True, slots=True)
class CostQuery:
    """Which costs: of calls that began in [start, end), whole quarter hours; `end` None leaves it open.

    `dimensions` are kept apart beside team, key, user, model and upstream: "end_user" and "metadata.NAME", which only
    entries know. `among` are values one of which a dimension must have.
    """

    start: datetime
    end: datetime | None
    dimensions: tuple[str, ...]
    among: Mapping[str, Collection[str]]


class CostRow(NamedTuple):
    """What calls with these values of dimensions cost; names are full resource names."""

    values: Mapping[str, str]
    cost_nano_usd: int


async def read_costs(connection: AsyncConnection, query: CostQuery) -> list[CostRow]:
    """Adjustments included. What has left the ledger with old days is only in sums."""
    if query.dimensions or not set(query.among) <= set(_COLUMNS):
        tables = await read_detached_tables(connection)
        first = query.start.date()
        kept = [tables.table(day.table_name) for day in tables.days.values() if day.is_kept and day.day >= first]
        statement = _of_entries(query, [ledger_entry, *kept])
    else:
        statement = _of_sums(query)
    rows = (await connection.execute(statement)).mappings().all()
    return [CostRow({k: str(v) for k, v in row.items() if k != "cost_nano_usd"}, row["cost_nano_usd"]) for row in rows]


def _of_sums(query: CostQuery) -> Select[Any]:
    groups, rollup = usage_group.c, usage_rollup.c
    joined = usage_rollup.join(usage_group, groups.group_id == rollup.group_id)
    dimensions = [groups[column].label(name) for name, column in _COLUMNS.items()]
    conditions: list[ColumnElement[bool]] = [groups[_COLUMNS[name]].in_(values) for name, values in query.among.items()]
    return _summed(dimensions, rollup.cost_nano_usd, joined, [*conditions, _is_within(query)])


def _is_within(query: CostQuery) -> ColumnElement[bool]:
    """Whole days where they are folded, quarter hours elsewhere: each moment of the period once."""
    slot, span_s = usage_rollup.c.slot, usage_rollup.c.span_s
    first = _midnight(query.start + _DAY - timedelta(microseconds=1))
    bounds = [slot >= query.start] if query.end is None else [slot >= query.start, slot < query.end]
    day = cast(func.timezone("UTC", slot), Date)
    is_folded = select(literal(1)).where(usage_day.c.day == day, usage_day.c.folded).correlate(usage_rollup).exists()
    whole = [slot >= first] if query.end is None else [slot >= first, slot < _midnight(query.end)]
    is_of_folded_day = and_(*whole, is_folded)
    return and_(
        *bounds,
        or_(
            and_(span_s == _DAY_S, is_of_folded_day),
            and_(span_s == QUARTER_HOUR_S, ~is_of_folded_day),
        ),
    )


def _of_entries(query: CostQuery, tables: list[Table]) -> Select[Any]:
    names = [*_COLUMNS, *query.dimensions]
    parts = [_entries(query, table, names) for table in tables]
    rows = parts[0].subquery("costs") if len(parts) == 1 else union_all(*parts).subquery("costs")
    return _summed([rows.c[name] for name in names], rows.c.cost_nano_usd, rows, [])


def _entries(query: CostQuery, table: Table, names: list[str]) -> Select[Any]:
    dimensions = [_dimension(table, name).label(name) for name in names]
    conditions: list[ColumnElement[bool]] = [
        _dimension(table, name).in_(values) for name, values in query.among.items()
    ]
    conditions += [table.c.event_id >= first_event_id(_ms(query.start)), table.c.start_time >= query.start]
    if query.end is not None:
        conditions += [table.c.event_id < first_event_id(_ms(query.end)), table.c.start_time < query.end]
    return select(*dimensions, table.c.cost_nano_usd).where(*conditions)


def _dimension(table: Table, name: str) -> ColumnElement[Any]:
    if name.startswith(_METADATA):
        return func.coalesce(table.c.metadata[name.removeprefix(_METADATA)].astext, "")
    return table.c[_COLUMNS.get(name, name)]


def _summed(
    dimensions: list[Any],
    cost: ColumnElement[int],
    source: FromClause,
    conditions: list[ColumnElement[bool]],
) -> Select[Any]:
    total = cast(func.sum(cost), BigInteger).label("cost_nano_usd")
    return select(*dimensions, total).select_from(source).where(*conditions).group_by(*dimensions)


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def _ms(time: datetime) -> int:
    return int(time.timestamp()) * 1000
