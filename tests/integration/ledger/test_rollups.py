"""What entries add up to in the database: the same however they arrive, and what a plain count says."""

import random
import uuid
from collections import Counter
from typing import Any

import asyncpg
import pytest

from controlplane.db.engine import Database
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import GROUP_DIMENSIONS, ROLLUP_SUMS, LedgerEntry, token_sums
from controlplane.ledger.latency import bucket_of
from controlplane.ledger.repository import LedgerRepository
from tests.fakes.usage_events import MINUTE_US, TEAMS, FakeDataPlane, readings, rich_readings
from tollway.kernel.usage import SettlementState
from tollway.usage.v1.usage_pb2 import (
    METER_CACHE_WRITE_1H,
    METER_INPUT,
    METER_OUTPUT,
    METER_OUTPUT_AUDIO,
    METER_REASONING,
    UsageEvent,
)

NOON_US = 1_795_262_400_000_000
_ROLLUPS = f"""
SELECT extract(epoch FROM slot)::bigint AS quarter_s, {", ".join(GROUP_DIMENSIONS)}, {", ".join(ROLLUP_SUMS)}
FROM usage_rollup JOIN usage_group USING (group_id) WHERE span_s = 900
"""
_LATENCIES = f"""
SELECT extract(epoch FROM slot)::bigint AS quarter_s, {", ".join(GROUP_DIMENSIONS)}, bucket, durations, first_frames
FROM usage_latency JOIN usage_group USING (group_id) WHERE span_s = 900
"""
Sums = Counter[tuple[object, ...]]


def random_event(plane: FakeDataPlane, chance: random.Random) -> UsageEvent:
    attempt = chance.randint(0, 3)
    start_time_us = NOON_US + chance.randint(0, 40) * MINUTE_US
    return plane.event(
        attempt=attempt,
        final=attempt == 0 or chance.random() < 0.5,
        team=chance.choice(TEAMS),
        requested_model=chance.choice(["a", "b"]),
        route=chance.choice(["", "routes/r"]),
        start_time_us=start_time_us,
        call_start_time_us=start_time_us - chance.choice([0, 0, MINUTE_US]),
        first_frame_time_us=chance.choice([0, start_time_us + chance.randint(0, 10**6)]),
        end_time_us=start_time_us + chance.randint(10**6, 10**9),
        status=chance.choice([200, 399, 400, 429, 500]),
        meters=readings(
            {METER_INPUT: chance.randint(0, 9), METER_OUTPUT: chance.randint(5, 10**12), METER_REASONING: 5}
        ),
        state=chance.randint(1, 7),
        cost_nano_usd=chance.randint(0, 10**15) if attempt else 0,
    )


def adjustment(entry: LedgerEntry, run: int, difference: int, state: SettlementState) -> LedgerEntry:
    """As a re-rating would post it; only its identity is simpler."""
    identity = uuid.UUID(int=entry.event_id.int ^ run << 50)
    return entry._replace(
        event_id=identity, boot_id=0, sequence=0, meters={}, cost_nano_usd=difference, adjusts=entry.event_id,
        run_id=uuid.UUID(int=run), prior_state=entry.state, state=state,
    )  # fmt: skip


def counted(entries: list[LedgerEntry]) -> tuple[Sums, Sums]:
    """Sums and latencies, counted plainly."""
    sums: Sums = Counter()
    latencies: Sums = Counter()
    for e in entries:
        quarter_s = e.start_time_us // 1_000_000 // 900 * 900
        group = (quarter_s, e.team, e.key, e.user, e.requested_model, e.route, e.provider, e.upstream, e.upstream_model)

        def add(name: str, number: int, group: tuple[object, ...] = group) -> None:
            sums[(*group, name)] += number

        add("cost_nano_usd", e.cost_nano_usd)
        add("failed_cost_nano_usd", 0 if e.final and e.status < 400 else e.cost_nano_usd)
        if e.adjusts is not None:
            add("adjustment_nano_usd", e.cost_nano_usd)
            add(f"state_{e.state.word}", 1)
            add(f"state_{e.prior_state.word}" if e.prior_state else "", -1)
            continue
        for name, number in token_sums(e.meters)._asdict().items():
            add(name, number)
        if e.attempt == 0:
            add("refused", 1)
            continue
        add("attempts", 1)
        add(f"state_{e.state.word}", 1)
        if e.final:
            add("requests", 1)
            add("errors", int(e.status >= 400))
            latencies[(*group, bucket_of(e.end_time_us - e.call_start_time_us), "durations")] += 1
            if e.first_frame_time_us:
                latencies[(*group, bucket_of(e.first_frame_time_us - e.call_start_time_us), "first_frames")] += 1
    return _without_zeros(sums), latencies


async def kept(url: str) -> tuple[Sums, Sums]:
    connection = await asyncpg.connect(url)
    try:
        sums = _spread(await connection.fetch(_ROLLUPS), ROLLUP_SUMS)
        return sums, _spread(await connection.fetch(_LATENCIES), ("durations", "first_frames"))
    finally:
        await connection.close()


@pytest.mark.parametrize("seed", range(6))
async def test_sums_are_those_of_the_set_however_it_is_split_ordered_and_repeated(
    database: Database, ledger_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    plane = FakeDataPlane(boot_id=7, start_time_us=NOON_US)
    entries = [entry_of(random_event(plane, chance)) for _ in range(120)]
    for run in (1, 2):
        states = list(SettlementState)
        chosen = [e for e in chance.sample(entries, 30) if e.adjusts is None and e.attempt]
        entries += [adjustment(e, run, chance.randint(-100, 100), chance.choice(states)) for e in chosen]
    deliveries = [*entries, *chance.sample(entries, 60)]
    chance.shuffle(deliveries)
    repository = LedgerRepository(database)
    while deliveries:
        size = chance.randint(1, 50)
        await repository.book(deliveries[:size], [])
        del deliveries[:size]
    assert await kept(ledger_url) == counted(entries)


async def test_a_call_is_counted_by_its_final_attempt(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1, start_time_us=NOON_US)
    failed = plane.event(team="teams/a", attempt=1, final=False, status=500, upstream="upstreams/x", state=2, meters=[])
    answered = plane.event(team="teams/a", attempt=2, final=True, upstream="upstreams/y", meters=rich_readings())
    first, second = await _booked(database, ledger_url, failed, answered)
    assert (first["upstream"], first["requests"], first["attempts"], first["errors"]) == ("upstreams/x", 0, 1, 0)
    assert (first["state_estimated"], first["failed_cost_nano_usd"]) == (1, failed.cost_nano_usd)
    assert (second["upstream"], second["requests"], second["attempts"], second["errors"]) == ("upstreams/y", 1, 1, 0)
    assert (second["input_tokens"], second["cache_read_tokens"]) == (12, 7)
    assert (second["output_tokens"], second["reasoning_tokens"], second["failed_cost_nano_usd"]) == (11, 4, 0)


async def test_a_refused_call_is_neither_a_request_nor_an_error(database: Database, ledger_url: str) -> None:
    event = FakeDataPlane(boot_id=1).event(attempt=0, status=429, state=7, meters=[], cost_nano_usd=0)
    [row] = await _booked(database, ledger_url, event)
    assert (row["refused"], row["requests"], row["attempts"], row["errors"], row["state_not_billed"]) == (1, 0, 0, 0, 0)


async def test_audio_and_cache_writes_count_among_all_tokens(database: Database, ledger_url: str) -> None:
    meters = readings({METER_CACHE_WRITE_1H: 3, METER_OUTPUT: 2, METER_OUTPUT_AUDIO: 5})
    [row] = await _booked(database, ledger_url, FakeDataPlane(boot_id=1).event(meters=meters))
    assert (row["input_tokens"], row["cache_write_tokens"], row["output_tokens"]) == (3, 3, 7)


async def test_the_quarter_hour_is_that_of_the_start(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    times = [NOON_US - 1, NOON_US, NOON_US + 15 * MINUTE_US - 1, NOON_US + 15 * MINUTE_US]
    rows = await _booked(database, ledger_url, *(plane.event(start_time_us=time, team="teams/a") for time in times))
    noon_s = NOON_US // 1_000_000
    assert [(r["quarter_s"], r["requests"]) for r in rows] == [(noon_s - 900, 1), (noon_s, 2), (noon_s + 900, 1)]


async def _booked(database: Database, url: str, *events: UsageEvent) -> list[Any]:
    await LedgerRepository(database).book([entry_of(event) for event in events], [])
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(f"{_ROLLUPS} ORDER BY slot, upstream"))
    finally:
        await connection.close()


def _spread(rows: list[Any], names: tuple[str, ...]) -> Sums:
    sums: Sums = Counter()
    for row in rows:
        group = tuple(value for name, value in row.items() if name not in names)
        sums.update({(*group, name): row[name] for name in names})
    return _without_zeros(sums)


def _without_zeros(sums: Sums) -> Sums:
    return Counter({key: number for key, number in sums.items() if number})
