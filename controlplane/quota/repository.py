"""Rows of quota in Postgres: loaded under locks, and stored.

Locks are taken in one order everywhere: the session, then buckets by id and window, then rates by id; leases are
written by nobody who does not hold the lock of their bucket. The lock comes in a statement of its own: one that locks
and reads leases at once would read them as they were before it had to wait.
"""

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import BigInteger, Integer, Update, Uuid, bindparam, column, func, text, update, values
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.quota.rows import BucketKey, BucketName, BucketRow, Kind, LeaseRow, LeaseState, RateRow
from controlplane.quota.session import Holder
from controlplane.quota.sessions.repository import fence, take_session
from controlplane.quota.situation import Wanted
from controlplane.quota.tables import quota_bucket, quota_lease, quota_rate
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
            yield QuotaTransaction(connection, *await fence(connection, holder))

    @asynccontextmanager
    async def introduction(self, holder: Holder) -> AsyncIterator["QuotaTransaction"]:
        """One Hello's: the session becomes that of `holder`. Raises Fenced where a later stream has it already."""
        async with self._transaction() as connection:
            await take_session(connection, holder)
            yield QuotaTransaction(connection, *await fence(connection, holder))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.transaction() as connection:
                yield connection
        except IntegrityError as error:
            raise RaceLost from error
        except Unavailable as error:
            original = getattr(error.__cause__, "orig", None)
            if getattr(original, "sqlstate", None) == _DEADLOCK:
                raise RaceLost from error
            raise


class QuotaTransaction:
    """`now_us` is the database's time when it began; `rates_since_us` since when no rate was lost."""

    def __init__(self, connection: AsyncConnection, now_us: int, rates_since_us: int) -> None:
        self._connection = connection
        self.now_us = now_us
        self._rates_since_us = rates_since_us
        self._found: Rows = Rows()

    async def load(self, wanted: Wanted, *, boot_ids: Collection[int] = (), fleet: int = 1) -> Rows:
        """Locks and reads what is `wanted`, and all leases of `boot_ids` that are not closed."""
        connection = self._connection
        keys = set(wanted.buckets) | await _keys_of_leases(connection, wanted.leases, boot_ids)
        buckets = await lock_buckets(connection, keys)
        rates = await _lock_rates(connection, wanted.rates)
        leases = await _read_leases(connection, wanted, boot_ids, self.now_us)
        holders = await _count_holders(connection, wanted.buckets)
        # A lease that moved into view after the buckets were locked has a bucket that is not.
        leases = {k: v for k, v in leases.items() if v.key in keys}
        self._found = Rows(buckets, leases, rates, holders, fleet, self._rates_since_us)
        return self._found

    async def store(self, changes: Changes) -> None:
        """Raises RaceLost where a bucket or a rate was made by somebody else since `load`."""
        known, connection = self._found, self._connection
        made = [row for row in changes.buckets if row.key not in known.buckets]
        if made:
            await connection.execute(insert(quota_bucket), [bucket_values(row) for row in made])
        changed = [row for row in changes.buckets if row.key in known.buckets]
        if changed:
            await connection.execute(_update_buckets(changed))
        if changes.leases:
            await connection.execute(_PUT_LEASES, [_lease_values(row) for row in changes.leases])
        await self._store_rates(changes.rates)

    async def _store_rates(self, rates: Sequence[RateRow]) -> None:
        made = [row for row in rates if row.bucket_id not in self._found.rates]
        if made:
            await self._connection.execute(insert(quota_rate), [_rate_values(row) for row in made])
        changed = [_rate_values(row) for row in rates if row.bucket_id in self._found.rates]
        if changed:
            await self._connection.execute(_PUT_RATES, [{f"b_{k}": v for k, v in row.items()} for row in changed])


async def _keys_of_leases(
    connection: AsyncConnection, leases: Collection[uuid.UUID], boot_ids: Collection[int]
) -> set[BucketKey]:
    """A lease never moves to another bucket, so that this needs no lock."""
    if not leases and not boot_ids:
        return set()
    rows = await connection.execute(_LEASE_KEYS, {"lease_ids": list(leases), "boot_ids": list(boot_ids)})
    return {BucketKey(row.bucket_id, row.window_start_ms) for row in rows}


async def lock_buckets(connection: AsyncConnection, keys: Collection[BucketKey]) -> dict[BucketKey, BucketRow]:
    """Those that there are, locked in order until the commit."""
    if not keys:
        return {}
    rows = await connection.execute(_LOCK_BUCKETS, key_arrays(sorted(keys)))
    return {bucket.key: bucket for bucket in map(to_bucket, rows)}


async def _lock_rates(connection: AsyncConnection, bucket_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, RateRow]:
    if not bucket_ids:
        return {}
    rows = await connection.execute(_LOCK_RATES, {"bucket_ids": sorted(bucket_ids)})
    return {
        row.bucket_id: RateRow(row.bucket_id, row.tat_us, row.period_us, tuple(row.holders), row.earlier_holders)
        for row in rows
    }


async def _read_leases(
    connection: AsyncConnection, wanted: Wanted, boot_ids: Collection[int], now_us: int
) -> dict[uuid.UUID, LeaseRow]:
    if not wanted.leases and not boot_ids and not wanted.slots:
        return {}
    given = {"lease_ids": list(wanted.leases), "boot_ids": list(boot_ids), "now_us": now_us}
    rows = await connection.execute(_READ_LEASES, given | key_arrays(sorted(wanted.slots)))
    return {row.lease_id: to_lease(row) for row in rows}


async def _count_holders(connection: AsyncConnection, keys: Collection[BucketKey]) -> Mapping[BucketKey, int]:
    if not keys:
        return {}
    rows = await connection.execute(_COUNT_HOLDERS, key_arrays(sorted(keys)))
    return {BucketKey(row.bucket_id, row.window_start_ms): row.holders for row in rows}


def to_bucket(row: Any) -> BucketRow:
    """From a row with the columns of quota_bucket."""
    name = BucketName(row.bucket_id, row.rule, row.generation, row.limit_index, tuple(row.dimension_values))
    return BucketRow(
        key=BucketKey(row.bucket_id, row.window_start_ms),
        name=name,
        kind=Kind(row.kind),
        cap=row.cap,
        spent=row.spent,
        escrow=row.escrow,
        provisional=row.provisional,
        seeded=row.seed_time is not None or row.kind == Kind.SLOTS,
        starved_us=row.starved_us,
    )


def to_lease(row: Any) -> LeaseRow:
    """From a row with the columns of quota_lease."""
    return LeaseRow(
        lease_id=row.lease_id,
        key=BucketKey(row.bucket_id, row.window_start_ms),
        node=row.node,
        boot_id=row.boot_id,
        granted=row.granted,
        settled=row.settled,
        returned=row.returned,
        state=LeaseState(row.state),
        expires_us=row.expires_us,
    )


def bucket_values(row: BucketRow) -> dict[str, Any]:
    """The columns of a bucket that nobody has charged yet."""
    return {
        "bucket_id": row.key.bucket_id,
        "window_start_ms": row.key.window_start_ms,
        "kind": int(row.kind),
        "rule": row.name.rule,
        "generation": row.name.generation,
        "limit_index": row.name.limit,
        "dimension_values": list(row.name.values),
        "cap": row.cap,
        "spent": 0,
        "escrow": row.escrow,
        "provisional": row.provisional,
        "prior": 0,
        "charged_cost_nano_usd": 0,
        "seeds": 0,
        "starved_us": row.starved_us,
    }


def _update_buckets(rows: Sequence[BucketRow]) -> Update:
    """All that the authority may change, of many rows in one statement."""
    new = values(
        column("bucket_id", Uuid),
        column("window_start_ms", BigInteger),
        column("cap", BigInteger),
        column("escrow", BigInteger),
        column("provisional", BigInteger),
        column("starved_us", BigInteger),
        name="new",
    ).data([(*row.key, row.cap, row.escrow, row.provisional, row.starved_us) for row in rows])
    c = quota_bucket.c
    return (
        update(quota_bucket)
        .where(c.bucket_id == new.c.bucket_id, c.window_start_ms == new.c.window_start_ms)
        .values(
            cap=new.c.cap,
            escrow=new.c.escrow,
            provisional=new.c.provisional,
            starved_us=new.c.starved_us,
            change_time=func.now(),
        )
    )


def _lease_values(row: LeaseRow) -> dict[str, Any]:
    return {
        "lease_id": row.lease_id,
        "bucket_id": row.key.bucket_id,
        "window_start_ms": row.key.window_start_ms,
        "node": row.node,
        "boot_id": row.boot_id,
        "granted": row.granted,
        "settled": row.settled,
        "returned": row.returned,
        "state": int(row.state),
        "expires_us": row.expires_us,
    }


def _rate_values(row: RateRow) -> dict[str, Any]:
    return {
        "bucket_id": row.bucket_id,
        "tat_us": row.tat_us,
        "period_us": row.period_us,
        "holders": list(row.holders),
        "earlier_holders": row.earlier_holders,
    }


def key_arrays(keys: Sequence[BucketKey]) -> dict[str, Any]:
    """The parameters `key_ids` and `windows` of statements about `keys`."""
    return {"key_ids": [key.bucket_id for key in keys], "windows": [key.window_start_ms for key in keys]}


_LEASE_KEYS = text(
    "SELECT DISTINCT bucket_id, window_start_ms FROM quota_lease"
    " WHERE lease_id = ANY(CAST(:lease_ids AS uuid[]))"
    " OR (boot_id = ANY(CAST(:boot_ids AS bigint[])) AND state <> 5)"
)
_LOCK_BUCKETS = text(
    "SELECT b.* FROM quota_bucket b"
    " JOIN unnest(CAST(:key_ids AS uuid[]), CAST(:windows AS bigint[])) AS k(bucket_id, window_start_ms)"
    " USING (bucket_id, window_start_ms) ORDER BY b.bucket_id, b.window_start_ms FOR UPDATE OF b"
)
_LOCK_RATES = text(
    "SELECT * FROM quota_rate WHERE bucket_id = ANY(CAST(:bucket_ids AS uuid[])) ORDER BY bucket_id FOR UPDATE"
)
_READ_LEASES = text(
    "SELECT * FROM quota_lease WHERE lease_id = ANY(CAST(:lease_ids AS uuid[]))"
    " UNION SELECT * FROM quota_lease WHERE boot_id = ANY(CAST(:boot_ids AS bigint[])) AND state <> 5"
    " UNION SELECT l.* FROM quota_lease l"
    " JOIN unnest(CAST(:key_ids AS uuid[]), CAST(:windows AS bigint[])) AS k(bucket_id, window_start_ms)"
    " USING (bucket_id, window_start_ms) WHERE l.state <> 5 AND l.state = 1 AND l.expires_us <= :now_us"
)
_COUNT_HOLDERS = text(
    "SELECT l.bucket_id, l.window_start_ms, count(*) AS holders FROM quota_lease l"
    " JOIN unnest(CAST(:key_ids AS uuid[]), CAST(:windows AS bigint[])) AS k(bucket_id, window_start_ms)"
    " USING (bucket_id, window_start_ms) WHERE l.state <> 5 AND l.state = 1 GROUP BY 1, 2"
)
_INSERT_LEASE = insert(quota_lease)
_PUT_LEASES = _INSERT_LEASE.on_conflict_do_update(
    index_elements=["lease_id"],
    set_={name: _INSERT_LEASE.excluded[name] for name in ("granted", "returned", "state", "expires_us")}
    | {"change_time": func.now()},
)
_PUT_RATES = (
    update(quota_rate)
    .where(quota_rate.c.bucket_id == bindparam("b_bucket_id", type_=Uuid))
    .values(
        tat_us=bindparam("b_tat_us", type_=BigInteger),
        period_us=bindparam("b_period_us", type_=BigInteger),
        holders=bindparam("b_holders", type_=ARRAY(BigInteger)),
        earlier_holders=bindparam("b_earlier_holders", type_=Integer),
    )
)
