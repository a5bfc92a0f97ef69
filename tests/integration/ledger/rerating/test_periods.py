"""Closed months and detached days: where adjustments land, and what a run cannot reach."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition, InvalidArgument
from controlplane.ledger.convert import entry_of
from controlplane.ledger.partitions import partition_of
from controlplane.ledger.repository import PartitionRepository
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.controlplane.admin import Admin
from tests.integration.ledger.rerating.ledger import (
    DAY_US,
    adjustments,
    book,
    create,
    differences,
    get,
    post,
    preview,
    random_calls,
    rerate,
    run_uuid,
    set_price,
    sums_are_of_entries,
    total_sums,
    work,
)
from tollway.admin.v1 import rerating_pb2 as admin_pb2
from tollway.admin.v1.audit_pb2 import ListAuditEventsRequest, ListAuditEventsResponse

OCTOBER_US = 1_790_812_800_000_000
"""2026-10-01T00:00Z."""
SEPTEMBER_NOON_US = OCTOBER_US - DAY_US // 2
RANGE = {"first_us": OCTOBER_US - DAY_US, "end_us": OCTOBER_US + DAY_US}
_SEPTEMBER = "slot < '2026-10-01 00:00Z'"
SERVICE = "LedgerPeriodService"


async def close(admin: Admin, month: str, **fields: Any) -> admin_pb2.LedgerPeriod:
    request = admin_pb2.CloseLedgerPeriodRequest(name=f"ledgerPeriods/{month}", **fields)
    return await admin.call(f"{SERVICE}/CloseLedgerPeriod", request, admin_pb2.LedgerPeriod)


async def period(admin: Admin, month: str) -> admin_pb2.LedgerPeriod:
    request = admin_pb2.GetLedgerPeriodRequest(name=f"ledgerPeriods/{month}")
    return await admin.call(f"{SERVICE}/GetLedgerPeriod", request, admin_pb2.LedgerPeriod)


async def test_adjustments_of_a_closed_month_land_in_the_present(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(200, first_us=SEPTEMBER_NOON_US))
    await close(admin, "2026-09")
    september = await total_sums(ledger_url, _SEPTEMBER)
    begun = datetime.now(UTC)
    run = await rerate(admin, **RANGE)
    assert await total_sums(ledger_url, _SEPTEMBER) == september
    posted = await adjustments(ledger_url)
    closed = [row for row in posted if row["start_time"] >= begun]
    assert len(closed) == run.posted.closed_entries > 20
    assert len(posted) == run.posted.changed_entries > run.posted.closed_entries
    assert {row["start_time"] for row in closed} == {run.post_time.ToDatetime(UTC)}
    assert all(row["run_id"] == run_uuid(run) and row["adjusts"].int >> 80 < OCTOBER_US // 1000 for row in closed)
    assert all(row["event_id"].int >> 80 == run.post_time.ToMilliseconds() for row in closed)
    assert await sums_are_of_entries(database)
    assert (await rerate(admin, **RANGE)).posted.changed_entries == 0


async def test_the_sums_over_all_months_do_not_depend_on_what_is_closed(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(150, first_us=SEPTEMBER_NOON_US))
    await set_price(admin, "*", "4", "5")
    first = await rerate(admin, **RANGE)
    open_sums = await total_sums(ledger_url)
    await close(admin, "2026-09")
    await set_price(admin, "*", "9", "9")
    await rerate(admin, **RANGE)
    await set_price(admin, "*", "4", "5")
    again = await rerate(admin, **RANGE)
    assert await total_sums(ledger_url) == open_sums
    assert (first.posted.closed_entries, again.posted.closed_entries > 0) == (0, True)
    assert await sums_are_of_entries(database)


async def test_a_month_is_closed_once_with_the_sums_it_had(admin: Admin, database: Database) -> None:
    await book(database, random_calls(50, first_us=OCTOBER_US - 5 * DAY_US))
    closed = await close(admin, "2026-09")
    assert (closed.state, closed.close_principal) == (admin_pb2.LEDGER_PERIOD_STATE_CLOSED, "tester")
    assert closed.closed_cost_usd == closed.cost_usd != "0.00" and closed.late_attempts == 0
    assert await close(admin, "2026-09") == closed
    audit = await admin.call(
        "AuditService/ListAuditEvents",
        ListAuditEventsRequest(filter='resource = "ledgerPeriods/2026-09"'),
        ListAuditEventsResponse,
    )
    [event] = audit.audit_events
    assert (event.principal, event.method) == ("tester", "tollway.admin.v1.LedgerPeriodService/CloseLedgerPeriod")


async def test_late_usage_stays_where_it_belongs_and_shows_as_late(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(50, first_us=OCTOBER_US - 5 * DAY_US))
    closed = await close(admin, "2026-09")
    late = FakeDataPlane(boot_id=99).event(start_time_us=OCTOBER_US - DAY_US, cost_nano_usd=2_000_000_000)
    await book(database, [entry_of(late)])
    found = await period(admin, "2026-09")
    assert (found.late_attempts, found.late_cost_usd) == (1, "2.00")
    assert (found.closed_attempts, found.closed_cost_usd) == (closed.attempts, closed.cost_usd)
    assert found.attempts == closed.attempts + 1


async def test_months_are_listed_from_the_present_to_the_first_with_usage(admin: Admin, database: Database) -> None:
    await book(database, random_calls(5, first_us=OCTOBER_US - 5 * DAY_US))
    found: list[str] = []
    request = admin_pb2.ListLedgerPeriodsRequest(page_size=2)
    while True:
        page = await admin.call(f"{SERVICE}/ListLedgerPeriods", request, admin_pb2.ListLedgerPeriodsResponse)
        found += [period.name for period in page.ledger_periods]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    present = datetime.now(UTC).date().replace(day=1)
    months = [f"ledgerPeriods/{month:%Y-%m}" for month in _months(date(2026, 9, 1), present)]
    assert found == months[::-1]


async def test_what_cannot_be_closed_says_why(admin: Admin, database: Database) -> None:
    present = f"{datetime.now(UTC):%Y-%m}"
    with pytest.raises(FailedPrecondition, match=f"ledgerPeriods/{present} is not over"):
        await close(admin, present)
    with pytest.raises(InvalidArgument, match="ledgerPeriods/YYYY-MM"):
        await close(admin, "2026-9")
    await book(database, random_calls(20))
    run = await preview(admin)
    await post(admin, run.name)
    with pytest.raises(FailedPrecondition, match=f"{run.name} is being posted"):
        await close(admin, "2026-09")
    await work(admin)
    assert (await close(admin, "2026-09")).state == admin_pb2.LEDGER_PERIOD_STATE_CLOSED


async def test_trying_to_close_changes_nothing(admin: Admin) -> None:
    assert (await close(admin, "2026-09", validate_only=True)).state == admin_pb2.LEDGER_PERIOD_STATE_CLOSED
    assert (await period(admin, "2026-09")).state == admin_pb2.LEDGER_PERIOD_STATE_OPEN


async def test_a_detached_day_is_named_and_left_as_it_is(admin: Admin, database: Database, ledger_url: str) -> None:
    first = date(2026, 9, 29)
    days = [first, first + timedelta(days=1)]
    await PartitionRepository(database).ensure(partition_of(day) for day in days)
    await book(database, random_calls(80, seed=1, first_us=OCTOBER_US - 2 * DAY_US))
    await book(database, random_calls(80, seed=2, first_us=OCTOBER_US - DAY_US))
    whole = await preview(admin, first_us=OCTOBER_US - 2 * DAY_US, end_us=OCTOBER_US)
    assert not whole.detached_days
    await _detach(ledger_url, first)
    run = await preview(admin, first_us=OCTOBER_US - 2 * DAY_US, end_us=OCTOBER_US)
    [detached] = run.detached_days
    assert (detached.day, detached.entries) == ("2026-09-29", 80) and detached.cost_usd != "0.00"
    assert 0 < run.preview.changed_entries < whole.preview.changed_entries
    await post(admin, run.name)
    await work(admin)
    assert (await get(admin, run.name)).posted == run.preview
    assert {row["start_time"].date() for row in await adjustments(ledger_url)} == {days[1]}
    assert not (await preview(admin, first_us=OCTOBER_US - DAY_US, end_us=OCTOBER_US)).detached_days


async def test_a_later_look_at_a_run_does_not_blame_days_that_were_there(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    day = date(2026, 9, 30)
    await PartitionRepository(database).ensure([partition_of(day)])
    await book(database, random_calls(30, first_us=OCTOBER_US - DAY_US))
    run = await rerate(admin, **RANGE)
    await _detach(ledger_url, day)
    assert not (await get(admin, run.name)).detached_days
    assert len(await differences(admin, run.name, posted=True)) > 3
    pending = await create(admin, **RANGE)
    assert [day.day for day in (await get(admin, pending.name)).detached_days] == ["2026-09-30"]


async def test_entries_whose_adjustments_are_detached_are_not_adjusted_again(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await PartitionRepository(database).ensure([partition_of(datetime.now(UTC).date())])
    await book(database, random_calls(60, first_us=SEPTEMBER_NOON_US))
    await close(admin, "2026-09")
    waiting = await preview(admin, **RANGE)
    posted = await rerate(admin, first_us=OCTOBER_US - DAY_US, end_us=OCTOBER_US - 1)
    day = posted.post_time.ToDatetime(UTC).date()
    again = await preview(admin, **RANGE)
    await _detach(ledger_url, day)
    for attempt in (create(admin, **RANGE), post(admin, again.name)):
        with pytest.raises(FailedPrecondition, match=f"{day} is detached"):
            await attempt
    with pytest.raises(FailedPrecondition, match="which is newer"):
        await post(admin, waiting.name)
    assert (await create(admin, first_us=OCTOBER_US, end_us=OCTOBER_US + DAY_US)).name


async def _detach(url: str, day: date) -> None:
    """As retention does it."""
    name = partition_of(day).name
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"ALTER TABLE ledger_entry DETACH PARTITION {name}")
        await connection.execute(
            f"INSERT INTO ledger_detached_day (day, table_name, entries, cost_nano_usd)"
            f" SELECT $1, $2, count(*), sum(cost_nano_usd) FROM {name}",
            day,
            name,
        )
    finally:
        await connection.close()


def _months(first: date, last: date) -> list[date]:
    months = [first]
    while months[-1] < last:
        months.append((months[-1] + timedelta(days=31)).replace(day=1))
    return months
