"""Reports: the same numbers whatever they are read from, while days are folded, unfolded and booked."""

import asyncio
import csv
import io
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition
from controlplane.ledger.api import ledger_handlers
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import LedgerEntry
from controlplane.ledger.folding.folder import DayFolder
from controlplane.ledger.folding.repository import FoldRepository, fold_day
from controlplane.ledger.latency import percentile_ms
from controlplane.ledger.repository import LedgerRepository
from tests.fakes.usage_events import FakeDataPlane, readings
from tests.integration.ledger.test_rollups import adjustment
from tests.integration.ledger.usage_admin import UsageAdmin, stamp
from tollway.admin.v1.usage_pb2 import QueryUsageResponse, UsageRow
from tollway.kernel.usage import SettlementState
from tollway.usage.v1.usage_pb2 import METER_INPUT, METER_OUTPUT, UsageEvent

FIRST = date(2026, 10, 24)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]
START = datetime(2026, 10, 24, tzinfo=UTC)
RANGE = {"start_time": stamp(START), "end_time": stamp(START + timedelta(days=4))}
ODD_RANGE = {
    "start_time": stamp(START + timedelta(hours=5, minutes=45)),
    "end_time": stamp(START + timedelta(days=3, hours=1, minutes=15)),
}
SECOND_US = 1_000_000
_DECLARE = text("INSERT INTO ledger_metadata_key (key, since) VALUES ('app', '2026-01-01')")


def random_event(plane: FakeDataPlane, chance: random.Random) -> UsageEvent:
    start_time_us = round(START.timestamp()) * SECOND_US + chance.randrange(4 * 86_400 * SECOND_US)
    attempt = chance.choice([0, 1, 1, 1, 2])
    team, status = chance.choice(["teams/a", "teams/b"]), chance.choice([200, 200, 200, 429, 500])
    first_frame_time_us = start_time_us + chance.randrange(200, SECOND_US)
    return plane.event(
        attempt=attempt,
        final=attempt != 1 or chance.random() < 0.8,
        team=team,
        key=f"{team}/keys/{chance.choice('xy')}",
        user=f"users/{chance.choice('uv')}",
        end_user=chance.choice(["", "e1", "e2"]),
        route=chance.choice(["", "routes/r"]),
        provider=chance.choice(["sim", "openai"]),
        requested_model=chance.choice(["m1", "m2"]),
        metadata=chance.choice([{}, {"app": "web", "other": "1"}, {"app": "cli"}, {"other": "2"}]),
        start_time_us=start_time_us,
        first_frame_time_us=first_frame_time_us if status == 200 else 0,
        end_time_us=start_time_us + chance.randrange(SECOND_US, 90 * SECOND_US),
        status=status,
        meters=readings({METER_INPUT: chance.randint(1, 9), METER_OUTPUT: chance.randint(1, 9)}),
        state=chance.randint(1, 7),
        cost_nano_usd=chance.randint(0, 10**12) if attempt else 0,
    )


def random_entries(seed: int, number: int) -> list[LedgerEntry]:
    chance, plane = random.Random(seed), FakeDataPlane(boot_id=seed + 1)
    entries = [entry_of(random_event(plane, chance)) for _ in range(number)]
    chosen = [entry for entry in chance.sample(entries, number // 5) if entry.attempt]
    states = list(SettlementState)
    return entries + [adjustment(entry, 3, chance.randint(-999, 999), chance.choice(states)) for entry in chosen]


QUERIES: list[dict[str, Any]] = [
    {},
    {"group_by": ["team"]},
    {"group_by": ["user"], "interval": "1d"},
    {"group_by": ["key"], "interval": "1d", "time_zone": "Asia/Kolkata"},
    {"group_by": ["model"], "interval": "1d", "time_zone": "Europe/Berlin"},
    {"group_by": ["route", "provider"], "interval": "6h"},
    {"group_by": ["metadata.app"], "interval": "1w"},
    {"group_by": ["metadata.app", "team"], "filter": 'metadata.app != "cli"'},
    {"group_by": ["team"], "filter": 'model = "m1" AND key IN ("x", "teams/b/keys/y")'},
    {"filter": 'team != "a"', "interval": "45m"},
    {"group_by": ["upstream"], "filter": 'user = "u"'},
]


@pytest_asyncio.fixture
async def admin(database: Database) -> UsageAdmin:
    async with database.transaction() as connection:
        await connection.execute(_DECLARE)
    return UsageAdmin(ledger_handlers(database))


async def book(database: Database, entries: list[LedgerEntry]) -> None:
    await LedgerRepository(database).book(entries, [])


async def fold(database: Database, *days: date) -> None:
    for day in days:
        async with database.transaction() as connection:
            await fold_day(connection, day)


async def answers(admin: UsageAdmin, within: dict[str, Any]) -> list[QueryUsageResponse]:
    return [await admin.query(**within, **fields, latencies=True) for fields in QUERIES]


@pytest.mark.parametrize("seed", range(2))
async def test_folded_days_say_what_quarter_hours_say(admin: UsageAdmin, database: Database, seed: int) -> None:
    await book(database, random_entries(seed, 400))
    expected = [await answers(admin, within) for within in (RANGE, ODD_RANGE)]
    assert all(response.rows and response.total.attempts for found in expected for response in found)
    chance = random.Random(seed)
    for _ in range(2):
        await fold(database, *chance.sample(DAYS, 2))
        assert [await answers(admin, within) for within in (RANGE, ODD_RANGE)] == expected
    await fold(database, *DAYS)
    assert [await answers(admin, within) for within in (RANGE, ODD_RANGE)] == expected


@pytest.mark.parametrize("seed", range(2))
async def test_rows_are_what_a_plain_count_says(admin: UsageAdmin, database: Database, seed: int) -> None:
    entries = random_entries(seed, 300)
    await book(database, entries)
    await fold(database, *DAYS[:2])
    for dimension, value_of in _VALUES.items():
        rows = (await admin.query(**RANGE, group_by=[dimension], latencies=True)).rows
        assert {row.group[dimension]: _shown(row) for row in rows} == dict(_counted(entries, value_of))


async def test_entries_give_what_rollups_give(admin: UsageAdmin, database: Database) -> None:
    await book(database, random_entries(7, 300))
    kept = await admin.query(**ODD_RANGE, group_by=["metadata.app"], interval="1d", latencies=True)
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM ledger_metadata_key"))
    read = await admin.query(**ODD_RANGE, group_by=["metadata.app"], interval="1d", latencies=True)
    assert read == kept
    by_end_user = await admin.query(**RANGE, group_by=["end_user"])
    assert by_end_user.total == (await admin.query(**RANGE, group_by=["team"])).total
    assert {row.group["end_user"] for row in by_end_user.rows} == {"", "e1", "e2"}


async def test_a_late_booking_unfolds_its_day_and_the_folder_folds_it_again(
    admin: UsageAdmin, database: Database
) -> None:
    await book(database, random_entries(1, 100))
    now = datetime(2026, 10, 28, 2, 0, tzinfo=UTC)
    folder = DayFolder(FoldRepository(database), lambda: now)
    assert await folder.fold_all() == len(DAYS)
    before = (await admin.query(**RANGE)).total
    late = entry_of(FakeDataPlane(boot_id=99, start_time_us=round(START.timestamp()) * SECOND_US).event())
    await book(database, [late])
    after = (await admin.query(**RANGE)).total
    assert (after.requests, await folder.fold_all()) == (before.requests + 1, 0)
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE usage_day SET change_time = '2026-10-28 01:00Z' WHERE NOT folded"))
    assert await folder.fold_all() == 1
    assert (await admin.query(**RANGE)).total == after


async def test_a_day_is_not_folded_before_it_is_over(admin: UsageAdmin, database: Database) -> None:
    await book(database, random_entries(1, 50))
    assert await DayFolder(FoldRepository(database), lambda: datetime(2026, 10, 25, 0, 59, tzinfo=UTC)).fold_all() == 0
    assert await DayFolder(FoldRepository(database), lambda: datetime(2026, 10, 25, 1, 1, tzinfo=UTC)).fold_all() == 1


async def test_reports_hold_still_while_days_are_folded_and_unfolded(admin: UsageAdmin, database: Database) -> None:
    await book(database, random_entries(2, 200))
    expected = (await admin.query(**RANGE, group_by=["team"], latencies=True)).rows
    unfold = text("UPDATE usage_day SET folded = false")

    async def churn() -> None:
        for _ in range(4):
            await fold(database, *DAYS)
            async with database.transaction() as connection:
                await connection.execute(unfold)

    churning = asyncio.create_task(churn())
    seen = 0
    while not churning.done():
        assert (await admin.query(**RANGE, group_by=["team"], latencies=True)).rows == expected
        seen += 1
    await churning
    assert seen > 3


@pytest.mark.parametrize("measure", ["cost_usd", "errors", "duration_p95_ms", "adjustment_usd"])
@pytest.mark.parametrize("direction", ["", " desc"])
async def test_ordered_pages_hold_every_row_once(
    admin: UsageAdmin, database: Database, measure: str, direction: str
) -> None:
    await book(database, random_entries(3, 150))
    fields: dict[str, Any] = {**RANGE, "group_by": ["key", "model"], "interval": "1d", "latencies": True}
    whole = (await admin.query(**fields)).rows
    pages = [page async for page in admin.pages(**fields, order_by=measure + direction, page_size=3)]
    rows = [row for page in pages for row in page]
    assert [len(page) for page in pages[:-1]] == [3] * (len(pages) - 1)
    assert sorted(map(str, rows)) == sorted(map(str, whole))
    measured = [float(getattr(row, measure)) for row in rows]
    assert measured == sorted(measured, reverse=bool(direction))


@pytest.mark.parametrize("order_by", ["", "duration_p95_ms desc"])
async def test_a_group_whose_calls_all_failed_has_no_time_to_first_token(
    admin: UsageAdmin, database: Database, order_by: str
) -> None:
    plane, start_time_us = FakeDataPlane(boot_id=1), round(START.timestamp()) * SECOND_US
    failed = plane.event(
        team="teams/a", key="teams/a/keys/x", status=502, start_time_us=start_time_us, first_frame_time_us=0,
        end_time_us=start_time_us + SECOND_US,
    )  # fmt: skip
    refused = plane.event(
        team="teams/b", key="teams/b/keys/x", status=404, start_time_us=start_time_us, attempt=0, cost_nano_usd=0
    )
    await book(database, [entry_of(failed), entry_of(refused)])
    rows = (await admin.query(**RANGE, group_by=["team"], order_by=order_by)).rows
    shown = {row.group["team"]: (row.requests, row.duration_p95_ms, row.time_to_first_token_p95_ms) for row in rows}
    assert shown == {"a": (1, pytest.approx(1_000, rel=0.05), 0), "b": (0, 0, 0)}


async def test_the_total_is_on_the_first_page_only(admin: UsageAdmin, database: Database) -> None:
    await book(database, random_entries(4, 100))
    whole = await admin.query(**RANGE, group_by=["key"], latencies=True)
    first = await admin.query(**RANGE, group_by=["key"], latencies=True, page_size=1)
    assert first.total == whole.total
    assert first.total.attempts == sum(row.attempts for row in whole.rows)
    second = await admin.query(**RANGE, group_by=["key"], latencies=True, page_size=1, page_token=first.next_page_token)
    assert not second.HasField("total")


async def test_an_export_has_all_rows_in_the_order_asked_for(admin: UsageAdmin, database: Database) -> None:
    await book(database, random_entries(5, 100))
    fields: dict[str, Any] = {**RANGE, "group_by": ["team", "model"], "interval": "1d"}
    lines = list(csv.DictReader(io.StringIO(await admin.export(**fields), newline="")))
    rows = (await admin.query(**fields)).rows
    assert [(line["team"], line["requests"], line["cost_usd"]) for line in lines] == [
        (row.group["team"], str(row.requests), row.cost_usd) for row in rows
    ]
    top = list(csv.DictReader(io.StringIO(await admin.export(**fields, order_by="cost_usd desc", max_rows=2))))
    assert [line["cost_usd"] for line in top] == sorted((line["cost_usd"] for line in lines), key=float)[:-3:-1]


async def test_a_range_that_only_entries_could_answer_is_bounded(admin: UsageAdmin) -> None:
    year = {"start_time": stamp(START), "end_time": stamp(START + timedelta(days=300))}
    with pytest.raises(FailedPrecondition, match="at most 31 days; shorten the range"):
        await admin.query(**year, group_by=["end_user"])
    assert not (await admin.query(**year, group_by=["metadata.app"])).rows


async def test_values_beyond_the_limit_share_one_sum_and_are_rebuilt_the_same(
    admin: UsageAdmin, database: Database
) -> None:
    plane = FakeDataPlane(boot_id=6, start_time_us=round(START.timestamp()) * SECOND_US)
    for first in (0, 700):
        events = [plane.event(metadata={"app": f"v{first + number}"}) for number in range(700)]
        await book(database, [entry_of(event) for event in events])
    await book(database, [entry_of(plane.event(metadata={"app": "v0"}))])
    rows = (await admin.query(**RANGE, group_by=["metadata.app"], page_size=2000)).rows
    sums = {row.group["metadata.app"]: row.requests for row in rows}
    assert (len(sums), sums["(other)"], sums["v0"]) == (1001, 400, 2)
    async with database.transaction() as connection:
        counted = await connection.scalar(text("SELECT count(*) FROM ledger_metadata_value"))
    assert counted == 1000


def _counted(entries: list[LedgerEntry], value_of: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """By value: requests, attempts, errors, costs and percentiles, counted plainly from times rather than buckets."""
    from controlplane.ledger.latency import bucket_of

    sums: dict[str, Counter[str]] = defaultdict(Counter)
    durations: dict[str, Counter[int]] = defaultdict(Counter)
    for entry in entries:
        own = sums[value_of(entry)]
        own["cost"] += entry.cost_nano_usd
        if entry.adjusts is not None:
            own["adjustment"] += entry.cost_nano_usd
        elif entry.attempt:
            own["attempts"] += 1
            own["billable"] += entry.state.is_billable
        if entry.adjusts is None and entry.attempt and entry.final:
            own["requests"] += 1
            own["errors"] += entry.status >= 400
            durations[value_of(entry)][bucket_of(entry.end_time_us - entry.call_start_time_us)] += 1
        if entry.adjusts is not None:
            own["billable"] += entry.state.is_billable - (entry.prior_state or entry.state).is_billable
    for value, own in sums.items():
        p95_ms = percentile_ms(durations[value].items(), 0.95)
        measures = (own["requests"], own["attempts"], own["billable"], own["errors"], own["cost"], own["adjustment"])
        yield value, (*measures, p95_ms and round(p95_ms, 4))


def _shown(row: UsageRow) -> tuple[Any, ...]:
    cost_nano_usd, adjustment_nano_usd = (round(float(amount) * 10**9) for amount in (row.cost_usd, row.adjustment_usd))
    counts = (row.requests, row.attempts, row.billable_attempts, row.errors)
    return (*counts, cost_nano_usd, adjustment_nano_usd, row.duration_p95_ms or None)


_VALUES: dict[str, Any] = {
    "team": lambda entry: entry.team.removeprefix("teams/"),
    "user": lambda entry: entry.user,
    "key": lambda entry: entry.key,
    "route": lambda entry: entry.route.removeprefix("routes/"),
    "provider": lambda entry: entry.provider,
    "metadata.app": lambda entry: entry.metadata.get("app", ""),
    "end_user": lambda entry: entry.end_user,
}
