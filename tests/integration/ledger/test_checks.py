"""The ledger's sums against its entries on a real database: whatever differs is found, and made anew."""

from datetime import UTC, date, datetime, timedelta

import pytest

from controlplane.db.engine import Database
from controlplane.ledger.checks.reports import DriftKind
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.convert import entry_of
from controlplane.ledger.folding.repository import fold_day
from controlplane.ledger.repository import LedgerRepository
from controlplane.ledger.state.repository import StateRepository
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.ledger.reading import count_drift, execute, fetch_value
from tollway.usage.v1.usage_pb2 import UsageEvent

DAY = date(2026, 11, 20)
START_US = round(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
NIGHT = timedelta(hours=20)
SUMS, LATENCY, GROUP = DriftKind.SUMS, DriftKind.LATENCY, DriftKind.GROUP
ONE = """
(slot, group_id) =
    (SELECT slot, group_id FROM usage_rollup WHERE attempts > 0 ORDER BY slot, group_id LIMIT 1 OFFSET 5)
"""


def a_day(plane: FakeDataPlane) -> list[UsageEvent]:
    """Calls at all hours of DAY, the last one in its last millisecond, and one of the next day."""
    events = [plane.event(start_time_us=START_US + n * HOUR_US // 2 + n * 1_000_003) for n in range(47)]
    events.append(plane.event(start_time_us=START_US, attempt=0, final=True, status=429, cost_nano_usd=0, state=7))
    return [
        *events,
        plane.event(start_time_us=START_US + 24 * HOUR_US - 1),
        plane.event(start_time_us=START_US + 24 * HOUR_US),
    ]


async def book(database: Database, events: list[UsageEvent]) -> None:
    await LedgerRepository(database).book([entry_of(event) for event in events], [])


async def fold(database: Database) -> None:
    async with database.transaction() as connection:
        await fold_day(connection, DAY)


async def test_what_was_booked_is_without_drift(database: Database, ledger_url: str) -> None:
    events = a_day(FakeDataPlane(boot_id=3))
    await book(database, events)
    report = await DayCheckRepository(database).verify(DAY)
    assert (report.entries, report.drifting_rows, report.drifts) == (len(events) - 1, 0, [])
    assert report.cost_nano_usd == sum(event.cost_nano_usd for event in events[:-1])
    assert (await DayCheckRepository(database).verify(DAY + timedelta(days=1))).entries == 1
    assert (await DayCheckRepository(database).verify(date(2026, 1, 1))).entries == 0
    state = await StateRepository(database).read()
    assert (state.first_day, state.last_day) == (DAY, DAY + timedelta(days=1))


TAMPERINGS: list[tuple[str, DriftKind, set[str] | None]] = [
    ("UPDATE usage_rollup SET cost_nano_usd = cost_nano_usd + 7 WHERE {one}", SUMS, {"cost_nano_usd"}),
    ("UPDATE usage_rollup SET state_reported = 0, refused = 3 WHERE {one}", SUMS, {"state_reported", "refused"}),
    ("UPDATE usage_latency SET durations = durations + 1 WHERE {one}", LATENCY, {"durations"}),
    ("DELETE FROM usage_latency WHERE {one}", LATENCY, None),
    ("DELETE FROM usage_rollup WHERE {one}", SUMS, None),
    ("UPDATE usage_rollup SET slot = slot + interval '15 minutes' WHERE {one}", SUMS, None),
    ("DELETE FROM usage_group WHERE team = 'teams/growth'", GROUP, {"groups"}),
    ("UPDATE usage_group SET upstream = 'upstreams/other' WHERE team = 'teams/growth'", GROUP, {"groups"}),
    ("DELETE FROM ledger_entry WHERE sequence = 7", SUMS, None),
]


@pytest.mark.parametrize(("tampering", "kind", "sums"), TAMPERINGS)
async def test_each_kind_of_drift_is_found_and_mended(
    database: Database, ledger_url: str, tampering: str, kind: DriftKind, sums: set[str] | None
) -> None:
    await book(database, a_day(FakeDataPlane(boot_id=3)))
    await execute(ledger_url, tampering.format(one=ONE))
    checks = DayCheckRepository(database)
    report = await checks.verify(DAY)
    found = [drift for drift in report.drifts if drift.kind is kind]
    assert report.drifting_rows > 0
    assert found
    if sums is not None:
        assert {drift.sum for drift in report.drifts} == sums
    assert (await checks.verify(DAY + timedelta(days=1))).drifting_rows == 0
    await checks.repair(DAY)
    assert (await checks.verify(DAY)).drifting_rows == 0
    assert await count_drift(ledger_url) == 0


async def test_a_drift_says_what_was_expected_where(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=3)
    event = plane.event(start_time_us=START_US + HOUR_US, cost_nano_usd=500)
    await book(database, [event])
    await execute(ledger_url, "UPDATE usage_rollup SET cost_nano_usd = 900")
    [drift] = (await DayCheckRepository(database).verify(DAY)).drifts
    assert (drift.sum, drift.expected, drift.found, drift.span_s) == ("cost_nano_usd", 500, 900, 900)
    assert drift.slot == datetime(2026, 11, 20, 1, tzinfo=UTC)
    assert (drift.group["team"], drift.group["upstream_model"]) == (event.team, "echo")


FOLDED = [
    ("usage_rollup", 3600, "errors"),
    ("usage_rollup", 86400, "cost_nano_usd"),
    ("usage_latency", 86400, "first_frames"),
    ("usage_marginal", 3600, "requests"),
    ("usage_marginal", 86400, "output_tokens"),
    ("usage_latency_marginal", 86400, "durations"),
]


@pytest.mark.parametrize(("table", "span", "column"), FOLDED)
async def test_what_a_day_is_folded_into_is_compared_while_it_is_in_use(
    database: Database, ledger_url: str, table: str, span: int, column: str
) -> None:
    await book(database, a_day(FakeDataPlane(boot_id=3))[:-1])
    await fold(database)
    checks = DayCheckRepository(database)
    report = await checks.verify(DAY)
    assert (report.is_folded, report.drifting_rows) == (True, 0)
    await execute(ledger_url, f"UPDATE {table} SET {column} = {column} + 1 WHERE span_s = {span}")
    report = await checks.verify(DAY)
    # What is made of a sum that drifts differs from it, too.
    assert (span, column) in {(drift.span_s, drift.sum) for drift in report.drifts}
    assert {drift.sum for drift in report.drifts} == {column}
    repaired = await checks.repair(DAY)
    assert repaired.removed_sums > repaired.made_sums > 0
    report = await checks.verify(DAY)
    assert (report.is_folded, report.drifting_rows) == (False, 0)
    await fold(database)
    report = await checks.verify(DAY)
    assert (report.is_folded, report.drifting_rows) == (True, 0)


async def test_a_booking_during_a_check_is_no_drift(database: Database, ledger_url: str) -> None:
    plane, checks = FakeDataPlane(boot_id=3), DayCheckRepository(database)
    for _ in range(3):
        await book(database, [plane.event(start_time_us=START_US + n * HOUR_US) for n in range(24)])
        report = await checks.verify(DAY)
        assert report.drifting_rows == 0
    assert report.entries == 72


async def test_gaps_are_told_with_the_time_they_were_first_seen(database: Database, ledger_url: str) -> None:
    plane, state = FakeDataPlane(boot_id=9), StateRepository(database)
    events = [plane.event() for _ in range(10)]
    await book(database, [*events[:3], *events[7:]])
    await state.note_gaps()
    assert (await state.read()).gaps == []
    await execute(ledger_url, "UPDATE ledger_gap SET seen_time = seen_time - interval '2 minutes'")
    [gap] = (await state.read()).gaps
    assert (gap.boot_id, gap.first, gap.last) == (9, 4, 7)
    await book(database, events[4:6])
    assert [(gap.first, gap.last) for gap in (await state.read()).gaps] == [(4, 4), (7, 7)]
    await state.note_gaps()
    assert [(gap.first, gap.last) for gap in (await state.read()).gaps] == [(4, 4), (7, 7)]
    await book(database, events)
    assert (await state.read()).gaps == []
    await state.note_gaps()
    assert await fetch_value(ledger_url, "SELECT count(*) FROM ledger_gap") == 0


async def test_a_check_is_begun_once_a_night_by_one_consumer(database: Database, ledger_url: str) -> None:
    state = StateRepository(database)
    assert [await state.begin_check(NIGHT), await state.begin_check(NIGHT)] == [True, False]
    check = (await state.read()).check
    assert check is not None
    assert check.end_time is None
    await state.end_check(35, 2)
    check = (await state.read()).check
    assert check is not None
    assert (check.days, check.drifts, check.end_time is not None) == (35, 2, True)
    await execute(ledger_url, "UPDATE ledger_check SET start_time = start_time - interval '21 hours'")
    assert await state.begin_check(NIGHT)
