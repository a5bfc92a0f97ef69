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

    A bucket of a budget counts as there once it has what the ledger held before. Until somebody asks for a part of it,
    the ledger itself is read, in the period in which the budget was made or changed.
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
                if period.rule not in found or not period.is_followed:
                    for _, fullness in (await _unleased(connection, period))[:1]:
                        if period.rule not in found or found[period.rule].total < fullness.total:
                            found[period.rule] = fullness
        return found

    async def page(self, period: BudgetPeriod, after: Place | None, limit: int) -> Sequence[tuple[Place, Fullness]]:
        """Buckets that calls were counted in, the fullest first."""
        async with self._database.snapshot() as connection:
            rows = (await connection.execute(_page_of(period, after, limit))).all()
            found = [(Place(row.total, row.bucket_id), _fullness(row)) for row in rows]
            any_there = bool(found) or (await connection.execute(_page_of(period, None, 1))).first() is not None
            if any_there and period.is_followed:
                return found
            found += [
                each for each in await _unleased(connection, period) if after is None or _is_after(each[0], after)
            ]
        return sorted(found, key=_by_fullness)[:limit]

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
    """Buckets that are not there yet, as the ledger would fill them, the fullest first.

    The only one of a budget without `per` is among them also when it is empty.
    """
    sums = dict(await _ledger_sums(connection, period, {}))
    if not period.budget.per:
        sums.setdefault((), 0)
    found = [
        (Place(spent, bucket_id(period.rule, period.budget.generation, 0, values)), Fullness(values, spent, 0))
        for values, spent in sums.items()
    ]
    ids = [place.bucket_id for place, _ in found]
    there = set((await connection.execute(_there(period, ids))).scalars()) if ids else set()
    return sorted((each for each in found if each[0].bucket_id not in there), key=_by_fullness)


def _by_fullness(each: tuple[Place, Fullness]) -> tuple[int, uuid.UUID]:
    return -each[0].total, each[0].bucket_id


def _there(period: BudgetPeriod, ids: Sequence[uuid.UUID]) -> Select[Any]:
    return select(_c.bucket_id).where(
        _c.bucket_id == any_(literal(ids, ARRAY(Uuid))),
        _c.window_start_ms == period.window.start_ms,
        _c.seed_time.is_not(None),
    )


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
