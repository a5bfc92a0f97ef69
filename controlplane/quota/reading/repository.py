"""Buckets in Postgres, read for admins. Nothing is locked."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Uuid, any_, cast, extract, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.ledger.costs.repository import CostQuery, read_costs
from controlplane.quota.reading.buckets import BudgetPeriod, Fullness, Place, Rates
from controlplane.quota.reading.costs import bucket_sums, cost_dimensions
from controlplane.quota.repository import to_bucket
from controlplane.quota.rows import BucketKey, BucketRow, RateRow
from controlplane.quota.tables import quota_bucket, quota_rate, quota_rate_mark
from tollway.kernel.rules import UPSTREAM_DIMENSION, bucket_id

_c = quota_bucket.c
_total = _c.spent + _c.escrow + _c.provisional


class BucketRepository:
    """Everything raises Unavailable while the database is away.

    A bucket of a budget counts as there once it has what the ledger held before. Where a budget has none in its
    period, because nobody asked for a part of it yet, the ledger itself is read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fullest(self, periods: Sequence[BudgetPeriod]) -> Mapping[str, Fullness]:
        """The fullest bucket of each, by name of the budget; none of those that nothing is known of."""
        if not periods:
            return {}
        async with self._database.snapshot() as connection:
            rows = (await connection.execute(_fullest_of(periods))).all()
            found = {row.rule: _fullness(row) for row in rows}
            for period in periods:
                if period.rule not in found:
                    for _, fullness in (await _unleased(connection, period))[:1]:
                        found[period.rule] = fullness
        return found

    async def page(self, period: BudgetPeriod, after: Place | None, limit: int) -> Sequence[tuple[Place, Fullness]]:
        """Buckets that calls were counted in, the fullest first."""
        async with self._database.snapshot() as connection:
            rows = (await connection.execute(_page_of(period, after, limit))).all()
            found = [(Place(row.total, row.bucket_id), _fullness(row)) for row in rows]
            if found or (await connection.execute(_page_of(period, None, 1))).first() is not None:
                return found
            unleased = await _unleased(connection, period)
        return [(place, fullness) for place, fullness in unleased if after is None or _is_after(place, after)][:limit]

    async def spent(self, period: BudgetPeriod, values: tuple[str, ...]) -> int:
        """What the ledger holds for one bucket, in nano-USD, whether it has a row or not."""
        known = dict(zip(period.budget.per, values, strict=True))
        # The ledger has full names of upstreams, rules their bare ids.
        known.pop(UPSTREAM_DIMENSION, None)
        async with self._database.snapshot() as connection:
            return (await _ledger_sums(connection, period, known)).get(values, 0)

    async def find(self, keys: Collection[BucketKey]) -> Mapping[BucketKey, BucketRow]:
        """Those of `keys` that have a row."""
        if not keys:
            return {}
        # Few windows and many buckets: the primary key is read by its first column.
        query = select(quota_bucket).where(
            _c.bucket_id == any_(literal([key.bucket_id for key in keys], ARRAY(Uuid))),
            tuple_(_c.bucket_id, _c.window_start_ms).in_([tuple(key) for key in keys]),
        )
        async with self._database.transaction() as connection:
            rows = [to_bucket(row) for row in (await connection.execute(query)).mappings()]
        return {row.key: row for row in rows}

    async def rates(self, bucket_ids: Collection[uuid.UUID]) -> Rates:
        """Those of `bucket_ids` that have a TAT."""
        query = select(quota_rate).where(quota_rate.c.bucket_id == any_(literal(list(bucket_ids), ARRAY(Uuid))))
        async with self._database.snapshot() as connection:
            now_us = (await connection.execute(select(_NOW_US))).scalar_one()
            since_us = (await connection.execute(select(quota_rate_mark.c.since_us))).scalar()
            rows = (await connection.execute(query)).all() if bucket_ids else []
        return Rates(now_us, since_us, {row.bucket_id: RateRow(row.bucket_id, row.tat_us) for row in rows})


async def _unleased(connection: AsyncConnection, period: BudgetPeriod) -> list[tuple[Place, Fullness]]:
    """Buckets as the ledger would fill them, the fullest first; the only one of a budget without `per` always."""
    sums = dict(await _ledger_sums(connection, period, {}))
    if not period.budget.per:
        sums.setdefault((), 0)
    found = [
        (Place(spent, bucket_id(period.rule, period.budget.generation, 0, values)), Fullness(values, spent, 0))
        for values, spent in sums.items()
    ]
    return sorted(found, key=lambda each: (-each[0].total, each[0].bucket_id))


async def _ledger_sums(
    connection: AsyncConnection, period: BudgetPeriod, equal: Mapping[str, str]
) -> Mapping[tuple[str, ...], int]:
    start, end_ms = _time(period.window.start_ms), period.window.end_ms
    query = CostQuery(
        start,
        None if end_ms is None else _time(end_ms),
        cost_dimensions(period.budget),
        {name: [value] for name, value in equal.items()},
    )
    return bucket_sums(period.budget, await read_costs(connection, query))


def _is_after(place: Place, after: Place) -> bool:
    return (-place.total, place.bucket_id) > (-after.total, after.bucket_id)


def _fullest_of(periods: Sequence[BudgetPeriod]) -> Select[Any]:
    wanted = [(period.rule, period.budget.generation, period.window.start_ms) for period in periods]
    return (
        _buckets(tuple_(_c.rule, _c.generation, _c.window_start_ms).in_(wanted))
        .ext(distinct_on(_c.rule))
        .order_by(_c.rule, _total.desc(), _c.bucket_id)
    )


def _page_of(period: BudgetPeriod, after: Place | None, limit: int) -> Select[Any]:
    query = _buckets(
        _c.rule == period.rule,
        _c.generation == period.budget.generation,
        _c.window_start_ms == period.window.start_ms,
    )
    if after is not None:
        beyond = or_(_total < after.total, (_total == after.total) & (_c.bucket_id > after.bucket_id))
        query = query.where(beyond)
    return query.order_by(_total.desc(), _c.bucket_id).limit(limit)


def _buckets(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(quota_bucket, _total.label("total")).where(*conditions, _c.seed_time.is_not(None))


def _fullness(row: Any) -> Fullness:
    """What is provisional counts as held until the ledger says that it was spent."""
    return Fullness(tuple(row.dimension_values), row.spent, row.escrow + row.provisional)


def _time(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)


_NOW_US = cast(extract("epoch", func.now()) * 1_000_000, BigInteger)
