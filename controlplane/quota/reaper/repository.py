"""Finds leases that are due, changes them under the locks of their buckets, and prunes; each step may be repeated."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.quota.reaping import Standing, reaped
from controlplane.quota.repository import QuotaTransaction, to_bucket
from controlplane.quota.rows import BucketKey, BucketRow, Kind, LeaseRow, LeaseState
from controlplane.quota.situation import Wanted
from controlplane.quota.workbook import Workbook

BATCH_LEASES = 200
REAPER_LOCK = 0x71756F746172


@dataclass(frozen=True, slots=True)
class QuotaSums:
    """As of one look: escrow by kind, and what is held for, or counted as spent of, processes that are gone."""

    escrow: dict[Kind, int]
    suspense_nano_usd: int
    gap_nano_usd: int


class ReaperRepository:
    """Raises Unavailable while the database is away, RaceLost where others had the locks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether it is this process's turn, as long as the block lasts; two at once would do no harm."""
        async with self._database.transaction() as connection:
            yield bool((await connection.execute(_TRY_LOCK, {"lock": REAPER_LOCK})).scalar_one())

    async def reap(self, is_enforced: Callable[[BucketRow], bool]) -> int:
        """Changes at most BATCH_LEASES leases that are due; returns how many."""
        async with self._database.transaction() as connection:
            due = [row.lease_id for row in await connection.execute(_DUE, {"limit": BATCH_LEASES})]
        if not due:
            return 0
        async with self._database.transaction() as connection:
            return await _reap(connection, due, is_enforced)

    async def prune(self) -> None:
        """Forgets leases a day after they closed, and buckets, rates and sessions that nobody needs."""
        for statement in _PRUNE:
            async with self._database.transaction() as connection:
                await connection.execute(statement)

    async def unsettled_seeds(self, limit: int) -> list[BucketRow]:
        """Buckets of budgets that were seeded so long ago that most calls, then all calls of that time have ended."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_UNSETTLED, {"limit": limit})
            return [to_bucket(row) for row in rows.mappings()]

    async def postpone_seed(self, key: BucketKey) -> None:
        """As if the bucket had been seeded now."""
        async with self._database.transaction() as connection:
            await connection.execute(_POSTPONE, {"bucket_id": key.bucket_id, "window": key.window_start_ms})

    async def read_sums(self) -> QuotaSums:
        async with self._database.transaction() as connection:
            escrow = {Kind(row.kind): int(row.escrow) for row in await connection.execute(_ESCROW)}
            suspense, gap = (await connection.execute(_LOST)).one()
        return QuotaSums(escrow, int(suspense), int(gap))


async def _reap(connection: AsyncConnection, due: Sequence[uuid.UUID], is_enforced: Callable[[BucketRow], bool]) -> int:
    now_us = int((await connection.execute(_NOW)).scalar_one())
    transaction = await QuotaTransaction.on(connection, now_us)
    rows = await transaction.load(Wanted(leases=frozenset(due)))
    standings = {row.lease_id: row for row in await connection.execute(_STANDINGS, {"lease_ids": list(due)})}
    book = Workbook(rows)
    for lease in rows.leases.values():
        bucket, row = rows.buckets.get(lease.key), standings.get(lease.lease_id)
        if bucket is not None and row is not None:
            standing = Standing(bucket.kind, row.alive, row.complete, is_enforced(bucket))
            book.put_lease(reaped(lease, standing, now_us))
    changes = book.changes()
    await transaction.store(changes)
    for lease in changes.leases:
        await _note_gap(connection, rows.leases[lease.lease_id], lease)
    return len(changes.leases)


async def _note_gap(connection: AsyncConnection, before: LeaseRow, after: LeaseRow) -> None:
    if after.state is LeaseState.PROVISIONAL:
        given: dict[str, Any] = {"lease_id": after.lease_id, "amount": after.outstanding}
        await connection.execute(_OPEN_GAP, given)
    elif before.state is LeaseState.PROVISIONAL:
        await connection.execute(_CLOSE_GAP, {"lease_id": after.lease_id})


_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
# States: 1 open, 2 ended, 3 in suspense, 4 provisional, 5 closed; kind 3 is that of slots.
_DUE = text(
    "SELECT l.lease_id FROM quota_lease l"
    " JOIN quota_bucket b USING (bucket_id, window_start_ms)"
    " LEFT JOIN quota_session s USING (boot_id)"
    " LEFT JOIN ledger_producer p USING (boot_id)"
    " CROSS JOIN (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) t"
    " WHERE l.state <> 5 AND CASE"
    " WHEN b.kind = 3 THEN l.expires_us <= t.now_us"
    " WHEN p.complete_time IS NOT NULL THEN true"
    " WHEN l.state <> 1 AND l.granted - l.settled - l.returned <= 0 THEN true"
    " WHEN l.state = 3 THEN l.expires_us <= t.now_us"
    " WHEN l.state = 4 OR coalesce(s.connected AND s.seen_time > now() - interval '15 seconds', false) THEN false"
    " WHEN l.state = 2 THEN true"
    " ELSE l.expires_us + 15000000 <= t.now_us END"
    " ORDER BY l.expires_us LIMIT :limit"
)
_STANDINGS = text(
    "SELECT l.lease_id, coalesce(s.connected AND s.seen_time > now() - interval '15 seconds', false) AS alive,"
    " p.complete_time IS NOT NULL AS complete"
    " FROM quota_lease l LEFT JOIN quota_session s USING (boot_id) LEFT JOIN ledger_producer p USING (boot_id)"
    " WHERE l.lease_id = ANY(CAST(:lease_ids AS uuid[]))"
)
_OPEN_GAP = text(
    "INSERT INTO quota_gap (lease_id, bucket_id, window_start_ms, rule, node, boot_id, amount_nano_usd)"
    " SELECT l.lease_id, l.bucket_id, l.window_start_ms, b.rule, l.node, l.boot_id, :amount"
    " FROM quota_lease l JOIN quota_bucket b USING (bucket_id, window_start_ms) WHERE l.lease_id = :lease_id"
    " ON CONFLICT (lease_id) DO UPDATE SET amount_nano_usd = excluded.amount_nano_usd, close_time = NULL"
)
_CLOSE_GAP = text("UPDATE quota_gap SET close_time = now() WHERE lease_id = :lease_id")
_UNSETTLED = text(
    "SELECT * FROM quota_bucket WHERE kind = 1 AND seeds IN (1, 2)"
    " AND (seeds = 1 AND seed_time < now() - interval '2 minutes'"
    " OR seeds = 2 AND seed_time < now() - interval '15 minutes')"
    " AND coalesce(window_end_ms > extract(epoch FROM now()) * 1000, true)"
    " ORDER BY seed_time LIMIT :limit"
)
_POSTPONE = text("UPDATE quota_bucket SET seed_time = now() WHERE bucket_id = :bucket_id AND window_start_ms = :window")
_ESCROW = text("SELECT kind, sum(escrow)::bigint AS escrow FROM quota_bucket GROUP BY kind")
_LOST = text(
    "SELECT coalesce(sum(greatest(0, granted - settled - returned)) FILTER (WHERE state = 3), 0)::bigint,"
    " coalesce(sum(greatest(0, granted - settled - returned)) FILTER (WHERE state = 4), 0)::bigint"
    " FROM quota_lease WHERE state <> 5"
)
# A budget's bucket is kept for a while after its window, for usage and adjustments that come late; slots and rates
# that are idle are the same as new.
_PRUNE = (
    text("DELETE FROM quota_lease WHERE state = 5 AND change_time < now() - interval '1 day'"),
    text(
        "DELETE FROM quota_bucket b WHERE NOT EXISTS (SELECT FROM quota_lease l WHERE l.bucket_id = b.bucket_id"
        " AND l.window_start_ms = b.window_start_ms AND l.state <> 5) AND CASE"
        " WHEN kind = 3 THEN escrow = 0 AND change_time < now() - interval '1 day'"
        " WHEN rule = '' THEN change_time < now() - interval '35 days'"
        " ELSE window_end_ms < (extract(epoch FROM now()) - 3 * 86400) * 1000"
        " AND change_time < now() - interval '3 days' END"
    ),
    text(
        "DELETE FROM quota_rate WHERE greatest(tat_us, period_us)"
        " < (extract(epoch FROM now()) - 86400)::bigint * 1000000"
    ),
    text(
        "DELETE FROM quota_session s WHERE seen_time < now() - interval '1 day' AND NOT EXISTS"
        " (SELECT FROM quota_lease l WHERE l.boot_id = s.boot_id AND l.state <> 5)"
    ),
    text("DELETE FROM quota_gap WHERE close_time < now() - interval '400 days'"),
)
