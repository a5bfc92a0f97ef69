"""Reads of what is held, without locks: what they find leads to recalls, which may come late or in vain."""

from collections.abc import Collection

from sqlalchemy import text

from controlplane.db.engine import Database
from controlplane.quota.repository import to_bucket, to_lease
from controlplane.quota.rows import BucketKey, BucketRow, LeaseRow, key_arrays


class HoldingRepository:
    """Raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def starved_since(self, time_us: int) -> tuple[int, list[BucketKey]]:
        """The database's time, and buckets of which somebody was refused what others hold since `time_us`."""
        async with self._database.transaction() as connection:
            now_us = int((await connection.execute(_READ_NOW)).scalar_one())
            rows = await connection.execute(_STARVED, {"since_us": time_us})
            return now_us, [BucketKey(row.bucket_id, row.window_start_ms) for row in rows]

    async def open_leases(self, boot_ids: Collection[int]) -> list[LeaseRow]:
        """Open leases of these processes, with something outstanding."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_OPEN_LEASES, {"boot_ids": list(boot_ids)})
            return [lease for lease in map(to_lease, rows.mappings()) if lease.outstanding]

    async def read_buckets(self, keys: Collection[BucketKey]) -> list[BucketRow]:
        """Those that there are."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_READ_BUCKETS, key_arrays(keys))
            return [to_bucket(row) for row in rows.mappings()]


_READ_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_STARVED = text("SELECT bucket_id, window_start_ms FROM quota_bucket WHERE starved_us > :since_us")
_OPEN_LEASES = text("SELECT * FROM quota_lease WHERE state = 1 AND boot_id = ANY(CAST(:boot_ids AS bigint[]))")
_READ_BUCKETS = text(
    "SELECT b.* FROM quota_bucket b"
    " JOIN unnest(CAST(:key_ids AS uuid[]), CAST(:windows AS bigint[])) AS k(bucket_id, window_start_ms)"
    " USING (bucket_id, window_start_ms)"
)
