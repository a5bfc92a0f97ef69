"""What a ledger shows, for comparison with the truth."""

from typing import Any

import asyncpg

from tests.fakes.usage_events import Truth

_ROLLUPS = """
SELECT coalesce(sum(requests), 0)::bigint, coalesce(sum(attempts), 0)::bigint, coalesce(sum(refused), 0)::bigint,
       coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint,
       coalesce(sum(cost_nano_usd), 0)::bigint
FROM usage_rollup WHERE span_s = 900
"""
_DRIFT = """
WITH recomputed AS (
    SELECT date_bin('15 minutes', start_time, '2000-01-01 00:00Z') AS slot, team, key, key_owner, requested_model,
        route, provider, upstream, upstream_model,
        count(*) FILTER (WHERE final AND attempt > 0) AS requests,
        count(*) FILTER (WHERE attempt > 0) AS attempts,
        count(*) FILTER (WHERE final AND attempt = 0) AS refused,
        coalesce(sum((meters->>'output')::bigint), 0) AS output_tokens,
        coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd
    FROM ledger_entry GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
), kept AS (
    SELECT slot, team, key, key_owner, requested_model, route, provider, upstream, upstream_model,
        requests, attempts, refused, output_tokens, cost_nano_usd
    FROM usage_rollup JOIN usage_group USING (group_id) WHERE span_s = 900
)
SELECT count(*) FROM ((TABLE recomputed EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE recomputed)) AS drift
"""


async def ledger_truth(url: str) -> Truth:
    """Entries, and the sums over all rollups."""
    connection = await asyncpg.connect(url)
    try:
        events = await connection.fetchval("SELECT count(*) FROM ledger_entry")
        return Truth(events, *(await connection.fetchrow(_ROLLUPS)))
    finally:
        await connection.close()


async def count_drift(url: str) -> int:
    """Rollups that differ from what the entries add up to."""
    return int(await fetch_value(url, _DRIFT))


async def fetch_value(url: str, statement: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
