"""The methods of re-rating: what they take, refuse, list and remember."""

import uuid
from typing import Any, cast

import pytest

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition, InvalidArgument, NotFound
from controlplane.ledger.api import ledger_handlers
from controlplane.ledger.convert import entry_of, request_text
from tests.fakes.usage_events import FakeDataPlane, readings
from tests.integration.controlplane.admin import Admin
from tests.integration.few_prices import BOOK
from tests.integration.ledger.rerating.ledger import (
    DAY_US,
    NOON_US,
    SERVICE,
    adjustments,
    book,
    create,
    differences,
    get,
    post,
    preview,
    random_calls,
    rerate,
    set_price,
    stamp,
    work,
)
from tollway.admin.v1 import rerating_pb2 as admin_pb2
from tollway.admin.v1.audit_pb2 import ListAuditEventsRequest, ListAuditEventsResponse
from tollway.admin.v1.usage_pb2 import (
    GetUsageRecordRequest,
    QueryUsageRequest,
    QueryUsageResponse,
    UsageRecord,
)
from tollway.usage.v1.usage_pb2 import METER_INPUT, METER_OUTPUT

MILLION = readings({METER_INPUT: 1_000_000, METER_OUTPUT: 1_000_000})


def call(**fields: Any) -> Any:
    values = {"start_time_us": NOON_US + 1, "team": "teams/a", "meters": MILLION, "cost_nano_usd": 0, "price": ""}
    return FakeDataPlane(boot_id=3).event(**{**values, **fields})


async def test_usage_shows_the_new_cost(admin: Admin, database: Database) -> None:
    entry = entry_of(call(state=4, basis=1))
    await book(database, [entry])
    await set_price(admin, "echo", "2", "3")
    run = await rerate(admin)
    assert (run.posted.newly_priced_entries, run.posted.difference_usd) == (1, "5.00")
    usage = cast("dict[str, Handler]", ledger_handlers(database))
    query = QueryUsageRequest(group_by=["team"], start_time=stamp(NOON_US), end_time=stamp(NOON_US + DAY_US))
    answer = await usage["tollway.admin.v1.UsageService/QueryUsage"](AdminPrincipal("t"), query)
    assert isinstance(answer, QueryUsageResponse)
    [row] = answer.rows
    assert (row.cost_usd, row.attempts, row.states["reported"], row.states["unpriced"]) == ("5.00", 1, 1, 0)
    assert (row.input_tokens, row.output_tokens) == (1_000_000, 1_000_000)
    name = f"usageRecords/{request_text(entry.request_id)}"
    record = await usage["tollway.admin.v1.UsageRecordService/GetUsageRecord"](
        AdminPrincipal("t"), GetUsageRecordRequest(name=name)
    )
    assert isinstance(record, UsageRecord)
    [attempt] = record.attempts
    assert (record.cost_usd, attempt.cost_usd, attempt.state, attempt.price) == ("5.00", "0.00", "unpriced", "")
    [adjustment] = attempt.adjustments
    shown = (adjustment.difference_usd, adjustment.prior_state, adjustment.state, adjustment.price)
    assert shown == ("5.00", "unpriced", "reported", "prices/p-echo")
    assert attempt.meters == {"input": 1_000_000, "output": 1_000_000}


async def test_only_what_the_filter_holds_for_is_rated_anew(admin: Admin, database: Database, ledger_url: str) -> None:
    await book(database, random_calls(200))
    run = await rerate(admin, filter='team = "growth" AND upstream_model = "echo"')
    posted = await adjustments(ledger_url)
    assert {(row["team"], row["upstream_model"]) for row in posted} == {("teams/growth", "echo")}
    [difference] = await differences(admin, run.name, posted=True)
    assert (difference.team, difference.model, difference.sums) == ("growth", "sim/echo", run.posted)
    rest = await preview(admin)
    assert rest.preview.changed_entries > 0
    again = await preview(admin, filter='team = "growth" AND upstream_model = "echo"')
    assert again.preview.changed_entries == 0


async def test_a_range_takes_what_began_in_it(admin: Admin, database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=3)
    times = [NOON_US - 1, NOON_US, NOON_US + DAY_US - 1, NOON_US + DAY_US]
    await book(database, [entry_of(plane.event(start_time_us=time, cost_nano_usd=7)) for time in times])
    await rerate(admin)
    start_times = [round(row["start_time"].timestamp() * 1_000_000) for row in await adjustments(ledger_url)]
    assert start_times == times[1:3]


async def test_no_cost_is_taken_for_want_of_a_price_unless_it_is_said(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    event = call(provider="openai", upstream_model="gone-1", cost_nano_usd=9, price="prices/old", state=1, basis=1)
    await book(database, [entry_of(event)])
    run = await preview(admin)
    assert run.preview.newly_unpriced_entries == 1
    with pytest.raises(FailedPrecondition, match="would take the cost from 1 entries"):
        await post(admin, run.name, allow_unpriced=False)
    assert await adjustments(ledger_url) == []
    await post(admin, run.name)
    await work(admin)
    [row] = await adjustments(ledger_url)
    assert (row["cost_nano_usd"], row["state"], row["price"]) == (-9, 4, "")


async def test_what_is_not_billed_refused_or_cached_stays(admin: Admin, database: Database) -> None:
    events = [
        call(state=7, meters=[]),
        call(state=6, meters=[], start_time_us=NOON_US + 2),
        call(attempt=0, state=7, meters=[], start_time_us=NOON_US + 3),
    ]
    for sequence, event in enumerate(events):
        plane = FakeDataPlane(boot_id=10 + sequence)
        await book(database, [entry_of(plane.event(**_fields(event)))])
    run = await preview(admin)
    assert (run.examined_entries, run.preview.changed_entries) == (0, 0)


async def test_requests_that_are_repeated_create_one_run(admin: Admin) -> None:
    run = admin_pb2.ReratingRun(start_time=stamp(NOON_US), price_book=BOOK)
    request = admin_pb2.CreateReratingRunRequest(rerating_run=run, request_id="r1")
    first = await admin.call(f"{SERVICE}/CreateReratingRun", request, admin_pb2.ReratingRun)
    assert await admin.call(f"{SERVICE}/CreateReratingRun", request, admin_pb2.ReratingRun) == first
    tried = admin_pb2.CreateReratingRunRequest(rerating_run=run, validate_only=True)
    await admin.call(f"{SERVICE}/CreateReratingRun", tried, admin_pb2.ReratingRun)
    assert await _names(admin) == [first.name]


async def test_a_run_is_posted_in_its_order_and_once(admin: Admin, database: Database) -> None:
    await book(database, random_calls(20))
    older, newer = await create(admin), await create(admin)
    with pytest.raises(FailedPrecondition, match="still being previewed"):
        await post(admin, older.name)
    await work(admin)
    await post(admin, newer.name)
    with pytest.raises(FailedPrecondition, match=f"{newer.name}, which is newer"):
        await post(admin, older.name)
    await work(admin)
    assert (await post(admin, newer.name)).state == admin_pb2.RERATING_STATE_POSTED
    with pytest.raises(FailedPrecondition, match="has posted"):
        await cancel(admin, newer.name)
    assert (await cancel(admin, older.name)).state == admin_pb2.RERATING_STATE_CANCELED
    with pytest.raises(FailedPrecondition, match="has ended without a preview"):
        await post(admin, older.name)


async def test_a_canceled_run_is_worked_on_no_more(admin: Admin, database: Database) -> None:
    await book(database, random_calls(20))
    run = await create(admin)
    await cancel(admin, run.name)
    await work(admin)
    found = await get(admin, run.name)
    assert (found.state, found.examined_entries) == (admin_pb2.RERATING_STATE_CANCELED, 0)


async def test_what_does_not_exist_is_named(admin: Admin) -> None:
    with pytest.raises(NotFound, match="priceBooks/mine does not exist"):
        run = admin_pb2.ReratingRun(start_time=stamp(NOON_US), price_book="mine")
        request = admin_pb2.CreateReratingRunRequest(rerating_run=run)
        await admin.call(f"{SERVICE}/CreateReratingRun", request, admin_pb2.ReratingRun)
    with pytest.raises(NotFound, match="reratingRuns/"):
        await get(admin, f"reratingRuns/{uuid.UUID(int=1)}")
    with pytest.raises(InvalidArgument, match="must be reratingRuns/"):
        await get(admin, "reratingRuns/1")


async def test_lists_are_paged(admin: Admin, database: Database) -> None:
    await book(database, random_calls(100))
    runs = [(await preview(admin)).name for _ in range(3)]
    assert await _names(admin, page_size=2) == runs[::-1]
    whole = await differences(admin, runs[0], posted=False)
    request = admin_pb2.ListReratingDifferencesRequest(parent=runs[0], page_size=2)
    paged: list[admin_pb2.ReratingDifference] = []
    while True:
        page = await admin.call(
            f"{SERVICE}/ListReratingDifferences", request, admin_pb2.ListReratingDifferencesResponse
        )
        paged += page.differences
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert paged == whole and len(whole) > 4
    request.posted = True
    with pytest.raises(InvalidArgument, match="page_token"):
        await admin.call(f"{SERVICE}/ListReratingDifferences", request, admin_pb2.ListReratingDifferencesResponse)


async def test_who_created_and_posted_is_in_the_audit_log(admin: Admin, database: Database) -> None:
    await book(database, random_calls(20))
    run = await rerate(admin)
    audit = await admin.call(
        "AuditService/ListAuditEvents",
        ListAuditEventsRequest(filter=f'resource = "{run.name}"'),
        ListAuditEventsResponse,
    )
    methods = [event.method.rpartition("/")[2] for event in audit.audit_events]
    assert methods == ["PostReratingRun", "CreateReratingRun"]
    assert {event.principal for event in audit.audit_events} == {"tester"} == {run.principal, run.post_principal}
    assert audit.audit_events[0].before["state"] == "previewed" and audit.audit_events[0].after["state"] == "posting"


async def cancel(admin: Admin, name: str) -> admin_pb2.ReratingRun:
    request = admin_pb2.CancelReratingRunRequest(name=name)
    return await admin.call(f"{SERVICE}/CancelReratingRun", request, admin_pb2.ReratingRun)


async def _names(admin: Admin, page_size: int = 50) -> list[str]:
    request = admin_pb2.ListReratingRunsRequest(page_size=page_size)
    found: list[str] = []
    while True:
        page = await admin.call(f"{SERVICE}/ListReratingRuns", request, admin_pb2.ListReratingRunsResponse)
        found += [run.name for run in page.rerating_runs]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def _fields(event: Any) -> dict[str, Any]:
    names = ("attempt", "state", "start_time_us", "team", "cost_nano_usd")
    return {**{name: getattr(event, name) for name in names}, "meters": list(event.meters)}
