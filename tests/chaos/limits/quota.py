"""What the quota tables hold, as a checker wants it."""

from collections.abc import Mapping

import asyncpg

from tests.chaos.ledger import connect, unreachable
from tests.chaos.limits.evidence import BucketSums

_BUDGETS = """
SELECT rule, sum(spent)::bigint AS spent, sum(escrow + provisional)::bigint AS escrow
FROM quota_bucket WHERE rule LIKE 'budgets/%' GROUP BY rule
"""
_HELD = """
SELECT b.rule, l.node, l.state, sum(greatest(0, l.granted - l.settled - l.returned))::bigint AS held
FROM quota_lease l JOIN quota_bucket b USING (bucket_id, window_start_ms)
WHERE l.granted > l.settled + l.returned AND l.state <> $1
GROUP BY b.rule, l.node, l.state ORDER BY b.rule, l.node
"""
_CHARGED = """
SELECT b.rule, sum((c.charge->>3)::bigint)::bigint AS charged
FROM ledger_entry e CROSS JOIN jsonb_array_elements(e.charges) AS c(charge)
JOIN quota_bucket b ON b.bucket_id = (c.charge->>0)::uuid AND b.window_start_ms = (c.charge->>2)::bigint
WHERE e.charges IS NOT NULL GROUP BY b.rule
"""
_CLOSED = 5


async def read_budgets(url: str) -> Mapping[str, BucketSums]:
    """By rule; what is held for provisional usage counts as escrow. Raises ReadingFailed."""
    rows = await _fetch(url, _BUDGETS)
    return {row["rule"]: BucketSums(row["spent"], row["escrow"]) for row in rows}


async def read_held(url: str) -> tuple[str, ...]:
    """A line for each rule and process that holds something of it. Raises ReadingFailed."""
    rows = await _fetch(url, _HELD, _CLOSED)
    return tuple(f"{row['rule']}: {row['held']} are held by {row['node']}, state {row['state']}" for row in rows)


async def read_charged(url: str) -> Mapping[str, int]:
    """By rule what entries charge to its buckets. Raises ReadingFailed."""
    return {row["rule"]: row["charged"] for row in await _fetch(url, _CHARGED)}


async def _fetch(url: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
    except (OSError, asyncpg.PostgresError) as error:
        raise unreachable(error) from None
    finally:
        await connection.close()
    return rows
