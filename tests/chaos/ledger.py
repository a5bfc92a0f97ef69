"""Readers of the ledger: through the database, and through the admin API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from tests.chaos.evidence import DIMENSIONS, Entry, LedgerReading, Producer, SumKey, Sums
from tests.chaos.site import ReadingFailed
from tests.chaos.sums import STATES, TOKENS
from tollway.kernel.money import parse_usd
from tollway.kernel.usage import SettlementState

ROLLED_UP = ("requests", "attempts", "refused", "errors", *TOKENS, "cost_nano_usd", "failed_cost_nano_usd")
ROLLED_UP_ALL = (*ROLLED_UP, "adjustment_nano_usd", *STATES)
_ENTRIES = "SELECT *, adjusts IS NOT NULL AS is_adjustment FROM ledger_entry WHERE team = ANY($1)"
_ROLLUPS = "SELECT * FROM usage_rollup JOIN usage_group USING (group_id) WHERE span_s = 900 AND team = ANY($1)"
_PRODUCERS = """
SELECT p.boot_id, p.booked, count(e.event_id) AS entries
FROM ledger_producer p LEFT JOIN ledger_entry e ON e.boot_id = p.boot_id AND e.adjusts IS NULL
WHERE p.boot_id IN (SELECT boot_id FROM ledger_entry WHERE team = ANY($1))
GROUP BY p.boot_id, p.booked
"""
_DEAD_LETTERS = "SELECT count(*) FROM ledger_dead_letter WHERE last_time >= $1"
_TIME = "SELECT clock_timestamp()"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reading is of: these teams, the producers of their entries, and dead letters since then."""

    teams: Sequence[str]
    since: datetime


async def read_time(url: str) -> datetime:
    """The database's time. Raises as read_database does."""
    connection = await connect(url)
    try:
        now: datetime = await connection.fetchval(_TIME)
        return now
    finally:
        await connection.close()


async def read_database(url: str, scope: Scope, reports: Mapping[tuple[str, str], Sums]) -> LedgerReading:
    """In one view of the database. Raises ReadingFailed while it is away."""
    connection = await connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            entries = tuple(_entry(row) for row in await connection.fetch(_ENTRIES, scope.teams))
            rollups = [_rollup(row) for row in await connection.fetch(_ROLLUPS, scope.teams)]
            producers = tuple(_producer(row) for row in await connection.fetch(_PRODUCERS, scope.teams))
            dead_letters = int(await connection.fetchval(_DEAD_LETTERS, scope.since))
    except (OSError, asyncpg.PostgresError) as error:
        raise unreachable(error) from None
    finally:
        await connection.close()
    return LedgerReading(entries, reports, _added(rollups), producers, dead_letters)


async def connect(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        raise unreachable(error) from None


def unreachable(error: Exception) -> ReadingFailed:
    return ReadingFailed(f"the database does not answer: {type(error).__name__}")


def reports_from_rows(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Sums]:
    """Rows of GET /v1/usage?group_by=team,model as sums."""
    return {(f"teams/{row['group']['team']}", row["group"]["model"]): _row_sums(row) for row in rows}


def entries_from_records(records: Sequence[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """Calls of GET /v1/usageRecords as lines; who produced them is not in there."""
    return tuple(entry for record in records for entry in _record_entries(record))


def _entry(row: asyncpg.Record) -> Entry:
    prior = row["prior_state"]
    return Entry(
        event_id=str(row["event_id"]),
        boot_id=row["boot_id"],
        sequence=row["sequence"],
        request_id=str(row["request_id"]),
        call=row["client_request_id"],
        attempt=row["attempt"],
        final=row["final"],
        dimensions=tuple(row[name] for name in DIMENSIONS),
        start_time=row["start_time"],
        status=row["status"],
        error_code=row["error_code"],
        state=SettlementState(row["state"]),
        tokens=tuple(row[name] for name in TOKENS),
        cost_nano_usd=row["cost_nano_usd"],
        is_adjustment=row["is_adjustment"],
        prior_state=None if prior is None else SettlementState(prior),
    )


def _rollup(row: asyncpg.Record) -> tuple[SumKey, Sums]:
    key = (row["slot"], tuple(row[name] for name in DIMENSIONS))
    return key, {name: row[name] for name in ROLLED_UP_ALL}


def _added(rows: Sequence[tuple[SumKey, Sums]]) -> dict[SumKey, Sums]:
    """Groups that differ in labels alone are one here."""
    added: dict[SumKey, dict[str, int]] = {}
    for key, sums in rows:
        known = added.setdefault(key, dict.fromkeys(ROLLED_UP_ALL, 0))
        for name, value in sums.items():
            known[name] += value
    return dict(added)


def _producer(row: asyncpg.Record) -> Producer:
    ranges = tuple((each.lower, each.upper - 1) for each in row["booked"])
    return Producer(row["boot_id"], ranges, row["entries"])


def _row_sums(row: Mapping[str, Any]) -> Sums:
    counted = {name: int(row[name]) for name in ("requests", "attempts", "refused", "errors", *TOKENS)}
    states = {f"state_{word}": int(count) for word, count in row["states"].items()}
    return counted | states | {"cost_nano_usd": parse_usd(row["cost_usd"])}


def _record_entries(record: Mapping[str, Any]) -> list[Entry]:
    attempts = record["attempts"]
    if not attempts:
        return [_refusal(record)]
    last = max(attempt["attempt"] for attempt in attempts)
    return [_attempt(record, attempt, is_final=attempt["attempt"] == last) for attempt in attempts]


def _attempt(record: Mapping[str, Any], attempt: Mapping[str, Any], *, is_final: bool) -> Entry:
    meters = {name: int(count) for name, count in attempt["meters"].items()}
    upstream = (attempt["provider"], f"upstreams/{attempt['upstream'].rpartition('/')[2]}", attempt["upstream_model"])
    return Entry(
        event_id=attempt["event_id"],
        boot_id=0,
        sequence=0,
        request_id=record["request_id"],
        call=record["client_request_id"],
        attempt=attempt["attempt"],
        final=is_final,
        dimensions=(*_who(record), *upstream),
        start_time=datetime.fromisoformat(attempt["start_time"]).astimezone(UTC),
        status=attempt["status"],
        error_code=attempt["error_code"],
        state=next(state for state in SettlementState if state.word == attempt["state"]),
        tokens=_token_sums(meters),
        cost_nano_usd=parse_usd(attempt["cost_usd"]),
    )


def _refusal(record: Mapping[str, Any]) -> Entry:
    return Entry(
        event_id=f"refusal of {record['request_id']}",
        boot_id=0,
        sequence=0,
        request_id=record["request_id"],
        call=record["client_request_id"],
        attempt=0,
        final=True,
        dimensions=(*_who(record), "", "", ""),
        start_time=datetime.fromisoformat(record["start_time"]).astimezone(UTC),
        status=record["status"],
        error_code=record["error_code"],
        state=SettlementState.NOT_BILLED,
        tokens=(0, 0, 0, 0, 0),
        cost_nano_usd=parse_usd(record["cost_usd"]),
    )


def _who(record: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    team = f"teams/{record['team'].rpartition('/')[2]}"
    return team, record["key"], record["user"], record["model"], record["route"]


def _token_sums(meters: Mapping[str, int]) -> tuple[int, int, int, int, int]:
    def total(*names: str) -> int:
        return sum(meters.get(name, 0) for name in names)

    cache_read = total("cache_read", "cache_read_audio")
    cache_write = total("cache_write_5m", "cache_write_1h")
    fresh = total("input", "input_audio", "input_image")
    output = total("output", "output_audio", "output_image")
    return fresh + cache_read + cache_write, output, cache_read, cache_write, total("reasoning")
