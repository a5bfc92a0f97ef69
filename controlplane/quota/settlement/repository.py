"""Settles charges: the only writer of what is spent, in the transaction that books the entries.

Per bucket: spent += charged, escrow -= what its leases have less outstanding (`provisional` where they are that).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.quota.charges import ChargeSum


async def settle_charges(connection: AsyncConnection, charges: Sequence[ChargeSum], *, makes_buckets: bool) -> None:
    """Adds `charges`, one for each bucket, window and lease; comes last in its transaction, for others wait for it.

    With `makes_buckets` a bucket that is not there is made, to be seeded when it is leased; else what it was charged is
    left out. The sums of a lease of another bucket go to the bucket alone.
    """
    if not charges:
        return
    given: dict[str, Any] = {
        "bucket_ids": [charge.bucket_id for charge in charges],
        "windows": [charge.window_start_ms for charge in charges],
        "leases": [charge.lease_id for charge in charges],
        "amounts": [charge.amount_nano_usd for charge in charges],
        "costs": [charge.cost_nano_usd for charge in charges],
    }
    keys = {name: given[name] for name in ("bucket_ids", "windows")}
    if makes_buckets:
        await connection.execute(_MAKE_BUCKETS, keys)
    await connection.execute(_LOCK_BUCKETS, keys)
    await connection.execute(_SETTLE, given)


# 1 is the kind of budgets.
_MAKE_BUCKETS = text(
    "INSERT INTO quota_bucket (bucket_id, window_start_ms, kind, rule, generation, limit_index, dimension_values, cap,"
    " spent, escrow, provisional, prior, charged_cost_nano_usd, seeds, starved_us)"
    " SELECT DISTINCT bucket_id, window_start_ms, 1, '', '', 0, CAST('{}' AS text[]), 0, 0, 0, 0, 0, 0, 0, 0"
    " FROM unnest(CAST(:bucket_ids AS uuid[]), CAST(:windows AS bigint[])) AS k(bucket_id, window_start_ms)"
    " WHERE NOT EXISTS (SELECT FROM quota_bucket b"
    " WHERE b.bucket_id = k.bucket_id AND b.window_start_ms = k.window_start_ms)"
    " ORDER BY 1, 2 ON CONFLICT DO NOTHING"
)
_LOCK_BUCKETS = text(
    "SELECT FROM quota_bucket WHERE (bucket_id, window_start_ms) IN"
    " (SELECT * FROM unnest(CAST(:bucket_ids AS uuid[]), CAST(:windows AS bigint[])))"
    " ORDER BY bucket_id, window_start_ms FOR UPDATE"
)
# States 4 and 5 are those of provisional and closed leases.
_SETTLE = text(
    "WITH charge AS MATERIALIZED (SELECT * FROM unnest(CAST(:bucket_ids AS uuid[]), CAST(:windows AS bigint[]),"
    " CAST(:leases AS uuid[]), CAST(:amounts AS bigint[]), CAST(:costs AS bigint[]))"
    " AS c(bucket_id, window_start_ms, lease_id, amount, cost)),"
    " settled AS (UPDATE quota_lease l SET settled = l.settled + c.amount, change_time = now() FROM charge c"
    " WHERE l.lease_id = c.lease_id AND l.bucket_id = c.bucket_id AND l.window_start_ms = c.window_start_ms"
    " RETURNING l.bucket_id, l.window_start_ms, l.state, greatest(0, l.granted - l.settled + c.amount - l.returned)"
    " - greatest(0, l.granted - l.settled - l.returned) AS released),"
    " released AS (SELECT bucket_id, window_start_ms,"
    " coalesce(sum(released) FILTER (WHERE state < 4), 0)::bigint AS escrow,"
    " coalesce(sum(released) FILTER (WHERE state = 4), 0)::bigint AS provisional FROM settled GROUP BY 1, 2),"
    " total AS (SELECT bucket_id, window_start_ms, sum(amount)::bigint AS amount, sum(cost)::bigint AS cost"
    " FROM charge GROUP BY 1, 2)"
    " UPDATE quota_bucket b SET spent = b.spent + t.amount,"
    " charged_cost_nano_usd = b.charged_cost_nano_usd + t.cost, change_time = now(),"
    " escrow = b.escrow - coalesce(r.escrow, 0), provisional = b.provisional - coalesce(r.provisional, 0)"
    " FROM total t LEFT JOIN released r USING (bucket_id, window_start_ms)"
    " WHERE b.bucket_id = t.bucket_id AND b.window_start_ms = t.window_start_ms"
)
