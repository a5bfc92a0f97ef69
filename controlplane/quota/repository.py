"""Rows of quota in Postgres: loaded under locks, and stored.

Locks are taken in one order everywhere: the session, then buckets by id and window, then rates by id; leases are
written by nobody who does not hold the lock of their bucket. The lock comes in a statement of its own: one that locks
and reads leases at once would read them as they were before it had to wait.
"""

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.quota.rows import BucketKey, BucketName, BucketRow, Kind, LeaseRow, LeaseState, RateRow, key_arrays
from controlplane.quota.session import Holder
from controlplane.quota.sessions.repository import fence, take_session
from controlplane.quota.situation import Wanted
from controlplane.quota.workbook import Changes, Rows

_DEADLOCK = "40P01"


class RaceLost(Exception):
    """Somebody else made a row that was not there, or had the locks; the same may be tried again at once."""


class QuotaRepository:
    """Transactions on quota; all raise Unavailable while the database is away, and RaceLost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def update(self, holder: Holder) -> AsyncIterator["QuotaTransaction"]:
        """One Update's; commits at the end. Raises Fenced."""
        async with self._transaction() as connection:
            times = await fence(connection, holder)
            yield QuotaTransaction(await _driver_of(connection), *times)

    @asynccontextmanager
    async def introduction(self, holder: Holder) -> AsyncIterator["QuotaTransaction"]:
        """One Hello's: the session becomes that of `holder`. Raises Fenced where a later stream has it already."""
        async with self._transaction() as connection:
            await take_session(connection, holder)
            times = await fence(connection, holder)
            yield QuotaTransaction(await _driver_of(connection), *times)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.transaction() as connection:
                yield connection
        except asyncpg.UniqueViolationError as error:
            raise RaceLost from error
        except Unavailable as error:
            cause = error.__cause__
            if getattr(getattr(cause, "orig", cause), "sqlstate", None) == _DEADLOCK:
                raise RaceLost from error
            raise


class QuotaTransaction:
    """`now_us` is the database's time when it began; `rates_since_us` since when no rate was lost.

    Its statements go to the driver itself: calls of apps wait for each of them.
    """

    def __init__(self, driver: "Driver", now_us: int, rates_since_us: int) -> None:
        self._driver = driver
        self.now_us = now_us
        self._rates_since_us = rates_since_us
        self._found: Rows = Rows()

    @classmethod
    async def on(cls, connection: AsyncConnection, now_us: int) -> "QuotaTransaction":
        """Part of a transaction that has begun on `connection`; without rates."""
        return cls(await _driver_of(connection), now_us, 0)

    async def load(self, wanted: Wanted, *, boot_ids: Collection[int] = ()) -> Rows:
        """Locks and reads what is `wanted`, and all leases of `boot_ids` that are not closed."""
        driver = self._driver
        keys = set(wanted.buckets) | await _keys_of_leases(driver, wanted.leases, boot_ids)
        buckets = await _lock_buckets(driver, keys)
        rates = await _lock_rates(driver, wanted.rates)
        leases = await _read_leases(driver, wanted, boot_ids, self.now_us)
        holders = await _count_holders(driver, wanted.buckets)
        # A lease that moved into view after the buckets were locked has a bucket that is not.
        leases = {k: v for k, v in leases.items() if v.key in keys}
        self._found = Rows(buckets, leases, rates, holders, self._rates_since_us)
        return self._found

    async def store(self, changes: Changes) -> None:
        """Raises asyncpg.UniqueViolationError where a bucket or a rate was made by somebody else since `load`."""
        known, driver = self._found, self._driver
        made = sorted((row for row in changes.buckets if row.key not in known.buckets), key=lambda row: row.key)
        if made:
            await driver.executemany(_MAKE_BUCKET, [_new_bucket(row) for row in made])
        changed = [row for row in changes.buckets if row.key in known.buckets]
        if changed:
            rows = [(*row.key, row.cap, row.escrow, row.provisional, row.starved_us) for row in changed]
            await driver.execute(_PUT_BUCKETS, *zip(*rows, strict=True))
        if changes.leases:
            await driver.execute(_PUT_LEASES, *zip(*map(_lease_values, changes.leases), strict=True))
        await self._store_rates(changes.rates)

    async def _store_rates(self, rates: Sequence[RateRow]) -> None:
        made = sorted(_rate_values(row) for row in rates if row.bucket_id not in self._found.rates)
        if made:
            await self._driver.executemany(_MAKE_RATE, made)
        changed = [_rate_values(row) for row in rates if row.bucket_id in self._found.rates]
        if changed:
            await self._driver.executemany(_PUT_RATE, changed)


Driver = Any
"""An asyncpg.Connection in a transaction."""


async def _driver_of(connection: AsyncConnection) -> Driver:
    """What `connection` speaks through; a statement must have begun its transaction."""
    driver: Driver = (await connection.get_raw_connection()).driver_connection
    assert driver.is_in_transaction()
    return driver


async def _keys_of_leases(driver: Driver, leases: Collection[uuid.UUID], boot_ids: Collection[int]) -> set[BucketKey]:
    """A lease never moves to another bucket, so that this needs no lock."""
    if not leases and not boot_ids:
        return set()
    return {BucketKey(*row) for row in await driver.fetch(_LEASE_KEYS, list(leases), list(boot_ids))}


async def _lock_buckets(driver: Driver, keys: Collection[BucketKey]) -> dict[BucketKey, BucketRow]:
    """Those that there are, locked in order until the commit."""
    if not keys:
        return {}
    rows = await driver.fetch(_LOCK_BUCKETS, *key_arrays(keys).values())
    return {bucket.key: bucket for bucket in map(to_bucket, rows)}


async def _lock_rates(driver: Driver, bucket_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, RateRow]:
    if not bucket_ids:
        return {}
    rows = await driver.fetch(_LOCK_RATES, sorted(bucket_ids))
    found = (RateRow(bucket, tat, period, tuple(holders), earlier) for bucket, tat, period, holders, earlier in rows)
    return {row.bucket_id: row for row in found}


async def _read_leases(
    driver: Driver, wanted: Wanted, boot_ids: Collection[int], now_us: int
) -> dict[uuid.UUID, LeaseRow]:
    if not wanted.leases and not boot_ids and not wanted.slots:
        return {}
    rows = await driver.fetch(
        _READ_LEASES, list(wanted.leases), list(boot_ids), *key_arrays(wanted.slots).values(), now_us
    )
    return {row["lease_id"]: to_lease(row) for row in rows}


async def _count_holders(driver: Driver, keys: Collection[BucketKey]) -> Mapping[BucketKey, int]:
    if not keys:
        return {}
    rows = await driver.fetch(_COUNT_HOLDERS, *key_arrays(keys).values())
    return {BucketKey(bucket_id, window_start_ms): holders for bucket_id, window_start_ms, holders in rows}


def to_bucket(row: Any) -> BucketRow:
    """From a mapping with the columns of quota_bucket."""
    name = BucketName(
        row["bucket_id"], row["rule"], row["generation"], row["limit_index"], tuple(row["dimension_values"])
    )
    return BucketRow(
        key=BucketKey(row["bucket_id"], row["window_start_ms"]),
        name=name,
        kind=Kind(row["kind"]),
        cap=row["cap"],
        spent=row["spent"],
        escrow=row["escrow"],
        provisional=row["provisional"],
        seeded=row["seed_time"] is not None or row["kind"] == Kind.SLOTS,
        starved_us=row["starved_us"],
    )


def to_lease(row: Any) -> LeaseRow:
    """From a mapping with the columns of quota_lease."""
    return LeaseRow(
        lease_id=row["lease_id"],
        key=BucketKey(row["bucket_id"], row["window_start_ms"]),
        node=row["node"],
        boot_id=row["boot_id"],
        granted=row["granted"],
        settled=row["settled"],
        returned=row["returned"],
        state=LeaseState(row["state"]),
        expires_us=row["expires_us"],
    )


def _new_bucket(row: BucketRow) -> tuple[Any, ...]:
    name = row.name
    named = (name.rule, name.generation, name.limit, list(name.values))
    return (*row.key, int(row.kind), *named, row.cap, row.escrow, row.provisional, row.starved_us)


def _lease_values(row: LeaseRow) -> tuple[Any, ...]:
    totals = (row.granted, row.settled, row.returned)
    return (row.lease_id, *row.key, row.node, row.boot_id, *totals, int(row.state), row.expires_us)


def _rate_values(row: RateRow) -> tuple[Any, ...]:
    return (row.bucket_id, row.tat_us, row.period_us, list(row.holders), row.earlier_holders)


# State 1 is that of open leases, 5 that of closed ones.
_LEASE_KEYS = (
    "SELECT DISTINCT bucket_id, window_start_ms FROM quota_lease"
    " WHERE lease_id = ANY($1::uuid[]) OR (boot_id = ANY($2::bigint[]) AND state <> 5)"
)
_LOCK_BUCKETS = (
    "SELECT b.* FROM quota_bucket b"
    " JOIN unnest($1::uuid[], $2::bigint[]) AS k(bucket_id, window_start_ms) USING (bucket_id, window_start_ms)"
    " ORDER BY b.bucket_id, b.window_start_ms FOR UPDATE OF b"
)
_LOCK_RATES = (
    "SELECT bucket_id, tat_us, period_us, holders, earlier_holders FROM quota_rate"
    " WHERE bucket_id = ANY($1::uuid[]) ORDER BY bucket_id FOR UPDATE"
)
_READ_LEASES = (
    "SELECT * FROM quota_lease WHERE lease_id = ANY($1::uuid[])"
    " UNION SELECT * FROM quota_lease WHERE boot_id = ANY($2::bigint[]) AND state <> 5"
    " UNION SELECT l.* FROM quota_lease l"
    " JOIN unnest($3::uuid[], $4::bigint[]) AS k(bucket_id, window_start_ms) USING (bucket_id, window_start_ms)"
    " WHERE l.state <> 5 AND l.state = 1 AND l.expires_us <= $5"
)
_COUNT_HOLDERS = (
    "SELECT l.bucket_id, l.window_start_ms, count(*) FROM quota_lease l"
    " JOIN unnest($1::uuid[], $2::bigint[]) AS k(bucket_id, window_start_ms) USING (bucket_id, window_start_ms)"
    " WHERE l.state <> 5 AND l.state = 1 GROUP BY 1, 2"
)
_MAKE_BUCKET = (
    "INSERT INTO quota_bucket (bucket_id, window_start_ms, kind, rule, generation, limit_index, dimension_values, cap,"
    " escrow, provisional, starved_us, spent, prior, charged_cost_nano_usd, seeds)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 0, 0)"
)
# All that the authority may change.
_PUT_BUCKETS = (
    "UPDATE quota_bucket b SET cap = n.cap, escrow = n.escrow, provisional = n.provisional,"
    " starved_us = n.starved_us, change_time = now()"
    " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])"
    " AS n(bucket_id, window_start_ms, cap, escrow, provisional, starved_us)"
    " WHERE b.bucket_id = n.bucket_id AND b.window_start_ms = n.window_start_ms"
)
_PUT_LEASES = (
    "INSERT INTO quota_lease (lease_id, bucket_id, window_start_ms, node, boot_id, granted, settled, returned, state,"
    " expires_us) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],"
    " $7::bigint[], $8::bigint[], $9::smallint[], $10::bigint[])"
    " ON CONFLICT (lease_id) DO UPDATE SET granted = excluded.granted, returned = excluded.returned,"
    " state = excluded.state, expires_us = excluded.expires_us, change_time = now()"
)
_MAKE_RATE = (
    "INSERT INTO quota_rate (bucket_id, tat_us, period_us, holders, earlier_holders) VALUES ($1, $2, $3, $4, $5)"
)
_PUT_RATE = "UPDATE quota_rate SET tat_us = $2, period_us = $3, holders = $4, earlier_holders = $5 WHERE bucket_id = $1"
