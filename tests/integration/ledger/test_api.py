"""The usage methods over a real ledger."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.errors import InvalidArgument, NotFound, Unavailable
from controlplane.ledger.api import ledger_handlers
from controlplane.ledger.convert import entry_of
from controlplane.ledger.repository import LedgerRepository
from tests.fakes.usage_events import MINUTE_US, FakeDataPlane, readings, request_id, rich_readings
from tests.integration.ledger.usage_admin import UsageAdmin, stamp
from tollway.admin.v1.usage_pb2 import UsageRecord, UsageRow
from tollway.kernel.usage import SettlementState, event_id
from tollway.usage.v1.usage_pb2 import METER_INPUT, METER_OUTPUT, UsageEvent

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOON_US = round(NOON.timestamp()) * 1_000_000
DAY = {"start_time": stamp(NOON - timedelta(hours=12)), "end_time": stamp(NOON + timedelta(hours=12))}


def calls() -> list[UsageEvent]:
    """Nine calls of two teams over an hour, one with a fallback, one refused."""
    plane = FakeDataPlane(boot_id=5)
    events = []
    for number in range(6):
        events.append(
            plane.event(
                team="teams/growth" if number % 2 else "teams/search",
                requested_model="sim/echo" if number < 4 else "sim/lorem",
                start_time_us=NOON_US + number * 10 * MINUTE_US,
                meters=readings({METER_INPUT: 10, METER_OUTPUT: 1}),
                cost_nano_usd=1_000_000_000,
                end_user=f"u{number}",
            )
        )
    start = NOON_US + MINUTE_US
    call = {"request_id": request_id(start, 777), "team": "teams/growth", "route": "routes/chat"}
    failed = {"attempt": 1, "final": False, "status": 503, "state": 7, "meters": [], "cost_nano_usd": 0}
    events.append(plane.event(**call, **failed, start_time_us=start, upstream="upstreams/a", error_code="overloaded"))
    events.append(
        plane.event(
            **call,
            attempt=2,
            start_time_us=start + 500_000,
            upstream="upstreams/b",
            requested_model="chat",
            meters=rich_readings(),
            cost_nano_usd=5,
            metadata={"app": "x"},
        )
    )
    refused = {"attempt": 0, "status": 429, "error_code": "rate_limit_exceeded", "state": 7, "meters": []}
    nowhere = {"upstream": "", "provider": "", "upstream_model": "", "response_model": "", "cost_nano_usd": 0}
    events.append(plane.event(**refused, **nowhere, team="teams/growth", start_time_us=NOON_US, requested_model="chat"))
    errors = {"status": 500, "state": 7, "meters": [], "cost_nano_usd": 0}
    events.append(plane.event(**errors, team="teams/search", start_time_us=NOON_US, key="teams/search/keys/batch"))
    return events


@pytest_asyncio.fixture
async def admin(database: Database) -> AsyncIterator[UsageAdmin]:
    await LedgerRepository(database).book([entry_of(event) for event in calls()], [])
    yield UsageAdmin(ledger_handlers(database))


async def test_without_groups_there_is_one_row(admin: UsageAdmin) -> None:
    [row] = (await admin.query(**DAY)).rows
    assert (row.requests, row.attempts, row.refused, row.errors) == (8, 9, 1, 1)
    assert (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.reasoning_tokens) == (72, 17, 7, 4)
    assert row.cost_usd == "6.000000005"
    assert dict(row.states)["reported"] == 7
    assert dict(row.states)["not_billed"] == 2
    assert row.start_time.ToDatetime(UTC) == NOON - timedelta(hours=12)
    assert not dict(row.group)


async def test_an_empty_range_is_one_row_of_zeros_and_no_groups(admin: UsageAdmin) -> None:
    past = {"start_time": stamp(NOON - timedelta(days=9)), "end_time": stamp(NOON - timedelta(days=8))}
    [row] = (await admin.query(**past)).rows
    assert (row.requests, row.cost_usd) == (0, "0.00")
    assert list((await admin.query(**past, group_by=["team"])).rows) == []


async def test_groups_show_bare_ids_but_full_keys(admin: UsageAdmin) -> None:
    rows = (await admin.query(**DAY, group_by=["team", "key", "upstream"])).rows
    assert [
        (row.group["team"], row.group["key"], row.group["upstream"], row.attempts, row.refused) for row in rows
    ] == [
        ("growth", "teams/growth/keys/ci", "", 0, 1),
        ("growth", "teams/growth/keys/ci", "a", 1, 0),
        ("growth", "teams/growth/keys/ci", "b", 1, 0),
        ("growth", "teams/growth/keys/ci", "sim", 3, 0),
        ("search", "teams/search/keys/batch", "sim", 1, 0),
        ("search", "teams/search/keys/ci", "sim", 3, 0),
    ]


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ('team = "growth"', 4),
        ('team = "teams/growth" AND model = "chat"', 1),
        ('key = "ci"', 7),
        ('key = "ci" AND team = "search"', 3),
        ('key = "teams/search/keys/batch"', 1),
        ("upstream = b", 1),
        ("provider = sim AND upstream_model = echo", 8),
        ('team = "nobody"', 0),
        ('team = "%"', 0),
        ("team = growth AND team = search", 0),
        ("team != growth", 4),
        ('team IN ("growth", "nobody")', 4),
        ('team != growth AND model IN ("sim/echo", "chat")', 3),
        ('user = "growth"', 8),
        ('user = "teams/growth"', 8),
        ("route = chat", 1),
        ('key IN ("batch", "teams/growth/keys/ci")', 5),
        ('metadata.app = "x"', 1),
        ('end_user != ""', 6),
    ],
)
async def test_filters(admin: UsageAdmin, text: str, requests: int) -> None:
    [row] = (await admin.query(**DAY, filter=text)).rows
    assert row.requests == requests


async def test_slots_begin_on_the_clock(admin: UsageAdmin) -> None:
    start = NOON - timedelta(minutes=15)
    response = await admin.query(start_time=stamp(start), end_time=stamp(NOON + timedelta(hours=1)), interval="30m")
    slots = [(row.start_time.ToDatetime(UTC) - NOON, row.requests) for row in response.rows]
    assert slots == [(timedelta(0), 5), (timedelta(minutes=30), 3)]
    assert response.rows[0].end_time.ToDatetime(UTC) - NOON == timedelta(minutes=30)


async def test_pages_hold_every_row_once(admin: UsageAdmin) -> None:
    fields: dict[str, Any] = {**DAY, "group_by": ["model", "team"], "interval": "15m"}
    whole = (await admin.query(**fields)).rows
    assert len(whole) > 5
    token = ""
    found: list[UsageRow] = []
    while True:
        page = await admin.query(**fields, page_size=2, page_token=token)
        assert len(page.rows) <= 2
        found += page.rows
        token = page.next_page_token
        if not token:
            break
    assert found == list(whole)
    starts = [row.start_time.seconds for row in whole]
    assert starts == sorted(starts)


async def test_unknown_groups_are_refused(admin: UsageAdmin) -> None:
    with pytest.raises(InvalidArgument, match="team, user, key, model, route"):
        await admin.query(group_by=["colour"])


async def test_one_call_is_read_with_its_attempts(admin: UsageAdmin) -> None:
    identity = request_id(NOON_US + MINUTE_US, 777)
    record = await admin.get(f"usageRecords/{identity}")
    assert (record.request_id, record.team, record.model, record.route) == (
        identity,
        "teams/growth",
        "chat",
        "routes/chat",
    )
    assert [(a.attempt, a.upstream, a.status, a.error_code, a.state, a.cost_usd) for a in record.attempts] == [
        (1, "upstreams/a", 503, "overloaded", "not_billed", "0.00"),
        (2, "upstreams/b", 200, "", "reported", "0.000000005"),
    ]
    assert (record.status, record.input_tokens, record.output_tokens, record.cost_usd) == (200, 12, 11, "0.000000005")
    assert dict(record.metadata) == {"app": "x"}
    assert record.start_time.ToMicroseconds() == NOON_US + MINUTE_US


@pytest.mark.parametrize("name", ["usageRecords/req_1", "usageRecords/", "calls/req_" + "0" * 32, "req_" + "0" * 32])
async def test_a_malformed_name_is_an_argument_error(admin: UsageAdmin, name: str) -> None:
    with pytest.raises(InvalidArgument, match="req_"):
        await admin.get(name)


async def test_an_unknown_call_is_not_found_and_says_why_that_may_be(admin: UsageAdmin) -> None:
    for identity in (request_id(NOON_US, 1), "req_" + "0" * 32, "req_" + "f" * 32):
        with pytest.raises(NotFound, match="seconds after it ends"):
            await admin.get(f"usageRecords/{identity}")


async def test_a_call_that_has_not_ended_is_not_found(database: Database) -> None:
    event = FakeDataPlane(boot_id=6).event(final=False, state=7)
    await LedgerRepository(database).book([entry_of(event)], [])
    with pytest.raises(NotFound):
        await UsageAdmin(ledger_handlers(database)).get(f"usageRecords/{event.request_id}")


async def test_calls_are_listed_newest_first_in_pages(admin: UsageAdmin) -> None:
    whole = (await admin.list()).usage_records
    starts = [record.start_time.ToMicroseconds() // 1000 for record in whole]
    assert len(whole) == 9
    assert starts == sorted(starts, reverse=True)
    token = ""
    found: list[UsageRecord] = []
    while True:
        page = await admin.list(page_size=2, page_token=token)
        found += page.usage_records
        token = page.next_page_token
        if not token:
            break
    assert found == list(whole)


async def test_calls_by_filter_and_time(admin: UsageAdmin) -> None:
    growth = (await admin.list(filter="team = growth")).usage_records
    assert {record.team for record in growth} == {"teams/growth"}
    assert [record.refused for record in growth].count(True) == 1
    [record] = (await admin.list(filter='end_user = "u3"')).usage_records
    assert record.end_user == "u3"
    start, end = NOON + timedelta(minutes=10), NOON + timedelta(minutes=30)
    times = [
        r.start_time.ToDatetime(UTC)
        for r in (await admin.list(start_time=stamp(start), end_time=stamp(end))).usage_records
    ]
    assert times == [NOON + timedelta(minutes=20), NOON + timedelta(minutes=10)]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("status >= 400", 2),
        ("status IN (429, 500) AND team = growth", 1),
        ("status != 200", 2),
        ("state = not_billed", 2),
        ("state != reported", 2),
        ("error_code = rate_limit_exceeded", 1),
        ("metadata.app = x", 1),
        ("key = batch", 1),
        ("route = chat AND user = growth", 1),
        ("upstream IN (a, b)", 1),
    ],
)
async def test_filters_of_calls(admin: UsageAdmin, text: str, calls: int) -> None:
    assert len((await admin.list(filter=text)).usage_records) == calls


async def test_an_adjustment_of_a_closed_month_is_shown_with_its_call(database: Database, admin: UsageAdmin) -> None:
    event = FakeDataPlane(boot_id=8).event(start_time_us=NOON_US, cost_nano_usd=5, state=4, basis=1)
    entry = entry_of(event)
    later_us = NOON_US + 40 * 86_400_000_000
    posted = entry._replace(
        event_id=event_id(later_us // 1000, 0, 1), boot_id=0, sequence=0, meters={}, cost_nano_usd=-2,
        start_time_us=later_us, adjusts=entry.event_id, run_id=uuid.UUID(int=4), state=SettlementState.REPORTED,
        prior_state=SettlementState.UNPRICED,
    )  # fmt: skip
    await LedgerRepository(database).book([entry, posted], [])
    record = await admin.get(f"usageRecords/{event.request_id}")
    assert (record.cost_usd, record.adjustment_usd) == ("0.000000003", "-0.000000002")
    [attempt] = record.attempts
    assert (attempt.cost_usd, attempt.state, attempt.billable, attempt.basis) == (
        "0.000000005", "unpriced", True, "reported",
    )  # fmt: skip
    assert [(each.difference_usd, each.state) for each in attempt.adjustments] == [("-0.000000002", "reported")]
    same_day = await admin.list(start_time=DAY["start_time"], end_time=DAY["end_time"], filter="state = unpriced")
    assert list(same_day.usage_records) == [record]
    month = {"start_time": stamp(NOON + timedelta(days=39)), "end_time": stamp(NOON + timedelta(days=41))}
    for asked in ({}, {"filter": 'end_user = ""'}):
        [row] = (await admin.query(**month, **asked)).rows
        assert (row.requests, row.cost_usd, row.adjustment_usd) == (0, "-0.000000002", "-0.000000002")


async def test_without_a_database_reads_are_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        await UsageAdmin(ledger_handlers(database)).query()
    await database.close()
