"""Compares buckets of budgets with the charges of the ledger's entries and with leases, as of one moment."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import BigInteger, Integer, Uuid, bindparam, case, cast, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.ledger.charged.repository import read_charges
from controlplane.quota.checks.reports import BudgetReport, CheckedBucket, Sum, compare
from controlplane.quota.rows import BucketKey, Kind, LeaseState
from controlplane.quota.tables import quota_bucket, quota_lease


class BudgetCheckRepository:
    """Raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self) -> BudgetReport:
        """Of windows that are not over; reads all entries since the first of them began."""
        async with self._database.snapshot() as connection:
            return await _compare(connection)

    async def repair(self) -> BudgetReport:
        """Corrects what differs, by the difference, so that bookings of the meantime keep their effect."""
        report = await self.verify()
        async with self._database.transaction() as connection:
            for drift in sorted(report.drifts, key=lambda drift: drift.bucket.key):
                key = drift.bucket.key
                given = {"of_bucket": key.bucket_id, "of_window": key.window_start_ms}
                await connection.execute(_CORRECT[drift.sum], given | {"amount": drift.expected - drift.found})
        return report


async def _compare(connection: AsyncConnection) -> BudgetReport:
    buckets = await _read_buckets(connection)
    if not buckets:
        return BudgetReport()
    charges = await read_charges(connection, min(bucket.key.window_start_ms for bucket in buckets))
    expected: dict[BucketKey, dict[Sum, int]] = defaultdict(dict)
    for place, amount in charges.amounts.items():
        expected[BucketKey(*place)] |= {Sum.SPENT: amount, Sum.CHARGED_COST: charges.costs[place]}
    for row in await connection.execute(_OUTSTANDING):
        key = BucketKey(row.bucket_id, row.window_start_ms)
        expected[key] |= {Sum.ESCROW: row.escrow, Sum.PROVISIONAL: row.provisional}
    return compare(buckets, expected, charges.whole_from_ms)


async def _read_buckets(connection: AsyncConnection) -> Sequence[CheckedBucket]:
    return [
        CheckedBucket(
            key=BucketKey(row.bucket_id, row.window_start_ms),
            rule=row.rule,
            values=tuple(row.dimension_values),
            found={
                Sum.SPENT: row.spent - row.prior,
                Sum.CHARGED_COST: row.charged_cost_nano_usd,
                Sum.ESCROW: row.escrow,
                Sum.PROVISIONAL: row.provisional,
            },
        )
        for row in await connection.execute(_CURRENT)
    ]


_b, _l = quota_bucket.c, quota_lease.c
_NOW_MS = cast(func.extract("epoch", func.now()) * 1000, BigInteger)
_CURRENT = (
    select(quota_bucket)
    .where(_b.kind == int(Kind.BUDGET), or_(_b.window_end_ms.is_(None), _b.window_end_ms > _NOW_MS))
    .order_by(_b.bucket_id, _b.window_start_ms)
)
_outstanding = func.greatest(0, _l.granted - _l.settled - _l.returned)
_is_provisional = _l.state == int(LeaseState.PROVISIONAL)
_OUTSTANDING = (
    select(
        _l.bucket_id,
        _l.window_start_ms,
        cast(func.sum(case((_is_provisional, 0), else_=_outstanding)), BigInteger).label("escrow"),
        cast(func.sum(case((_is_provisional, _outstanding), else_=0)), BigInteger).label("provisional"),
    )
    .where(_l.state != literal(int(LeaseState.CLOSED), Integer))
    .group_by(_l.bucket_id, _l.window_start_ms)
)
_COLUMNS = {
    Sum.SPENT: _b.spent,
    Sum.CHARGED_COST: _b.charged_cost_nano_usd,
    Sum.ESCROW: _b.escrow,
    Sum.PROVISIONAL: _b.provisional,
}
_CORRECT = {
    name: update(quota_bucket)
    .where(_b.bucket_id == bindparam("of_bucket", type_=Uuid), _b.window_start_ms == bindparam("of_window"))
    .values({column: column + bindparam("amount", type_=BigInteger), _b.change_time: func.now()})
    for name, column in _COLUMNS.items()
}
