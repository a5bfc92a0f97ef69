"""Days that are taken out of the ledger, and events of them that come late, on a real database."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from controlplane.db.engine import Database
from controlplane.errors import FailedPrecondition
from controlplane.ledger.booking import Bookkeeper, read_parcels
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.entries import Delivery
from controlplane.ledger.keeper import PartitionKeeper
from controlplane.ledger.letters.repository import DeadLetterRepository
from controlplane.ledger.repository import LedgerRepository, PartitionRepository
from controlplane.ledger.retention.repository import RetentionRepository
from controlplane.ledger.retention.retirement import PRODUCER_MARGIN_DAYS, DayRetirement
from controlplane.ledger.state.repository import StateRepository
from tests.fakes.usage_events import FakeDataPlane, Truth, batch
from tests.integration.ledger.reading import fetch_value
from tests.integration.ledger.waiting import wait_until
from tollway.usage.v1.usage_pb2 import UsageEvent

RETENTION_DAYS = 100
THEN = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = THEN + timedelta(days=RETENTION_DAYS + 1)
DAY = THEN.date()
TABLE = "ledger_entry_20260601"
_SUMS = """
SELECT (sum(requests) + sum(refused))::bigint AS events, sum(cost_nano_usd)::bigint AS cost_nano_usd
FROM usage_rollup WHERE span_s = 900
"""


def events_then(plane: FakeDataPlane, count: int, days: int = 0) -> list[UsageEvent]:
    start_us = round((THEN + timedelta(days=days)).timestamp()) * 1_000_000
    return [plane.event(start_time_us=start_us + n * 60_000_000) for n in range(count)]


async def book(database: Database, events: list[UsageEvent], now: datetime = THEN) -> int:
    """As the consumer does; how many were new."""
    keeper = PartitionKeeper(PartitionRepository(database), lambda: now)
    [parcels] = read_parcels([Delivery("s", 1, 1, batch(events))])
    return (await Bookkeeper(LedgerRepository(database), keeper).book(parcels)).inserted


async def retire(database: Database, now: datetime = NOW, retention_days: int = RETENTION_DAYS) -> int:
    return await DayRetirement(RetentionRepository(database), retention_days, lambda: now).run_once()


async def expect_sums(url: str, events: list[UsageEvent]) -> None:
    """Every event is in the sums once, detached or not."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(_SUMS)
    finally:
        await connection.close()
    truth = Truth.of(events)
    assert (row["events"], row["cost_nano_usd"]) == (truth.events, truth.cost_nano_usd)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def expect_no_drift(database: Database, day: date = DAY) -> None:
    assert (await DayCheckRepository(database).verify(day)).drifts == []


async def test_old_days_are_detached_and_recorded_and_their_sums_stay(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    old, young = events_then(plane, 20), events_then(plane, 5, days=1)
    await book(database, old + young)
    assert await retire(database, retention_days=0) == 0
    assert await retire(database) >= 1
    assert await fetch_value(ledger_url, "SELECT count(*) FROM ledger_entry") == len(young)
    assert await fetch_value(ledger_url, f"SELECT count(*) FROM {TABLE}") == len(old)
    [recorded] = [day for day in (await StateRepository(database).read()).detached_days if day.day == DAY]
    assert (recorded.entries, recorded.is_kept, recorded.table_name) == (20, True, TABLE)
    assert recorded.cost_nano_usd == Truth.of(old).cost_nano_usd
    await expect_sums(ledger_url, old + young)
    await expect_no_drift(database)
    assert await retire(database) == 0


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_late_events_are_booked_once_and_duplicates_never(
    database: Database, ledger_url: str, is_dropped: bool
) -> None:
    plane = FakeDataPlane(boot_id=1)
    old = events_then(plane, 20)
    late = events_then(plane, 3)
    stranger = events_then(FakeDataPlane(boot_id=2), 2)
    await book(database, old)
    await retire(database)
    if is_dropped:
        await execute(ledger_url, f"DROP TABLE {TABLE}")
    assert await book(database, old, NOW) == 0
    assert await book(database, [*old[5:], *late, *stranger], NOW) == 5
    assert await book(database, [*late, *stranger], NOW) == 0
    assert await book(database, [*old, *late, *stranger], NOW) == 0
    await expect_sums(ledger_url, [*old, *late, *stranger])
    await expect_no_drift(database)
    state = await StateRepository(database).read()
    assert (state.stray_entries, state.late_entries) == (5, 5)


async def test_two_bookers_of_the_same_late_event(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    old, late = events_then(plane, 5), events_then(plane, 50)
    await book(database, old)
    await retire(database)
    await execute(ledger_url, f"DROP TABLE {TABLE}")
    booked = await asyncio.gather(*(book(database, [*old, *late], NOW) for _ in range(4)))
    assert sum(booked) == 50
    await expect_sums(ledger_url, [*old, *late])


async def test_a_table_that_somebody_changed_shows(database: Database, ledger_url: str) -> None:
    await book(database, events_then(FakeDataPlane(boot_id=1), 20))
    await retire(database)
    await execute(ledger_url, f"DELETE FROM {TABLE} WHERE sequence = 3")
    drifts = (await DayCheckRepository(database).verify(DAY)).drifts
    assert {"detached", "sums"} <= {drift.kind.value for drift in drifts}
    await execute(ledger_url, f"DROP TABLE {TABLE}")
    await expect_no_drift(database)
    await execute(
        ledger_url, "UPDATE usage_rollup SET cost_nano_usd = cost_nano_usd + 1 WHERE slot < '2026-06-01 12:15Z'"
    )
    [drift] = (await DayCheckRepository(database).verify(DAY)).drifts
    assert (drift.kind.value, drift.sum) == ("detached", "cost_nano_usd")
    with pytest.raises(FailedPrecondition, match="detached"):
        await DayCheckRepository(database).repair(DAY)


async def test_sums_of_a_detached_day_that_is_kept_can_be_made_anew(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    old, late = events_then(plane, 20), events_then(plane, 2)
    await book(database, old)
    await retire(database)
    await book(database, late, NOW)
    await execute(ledger_url, "DELETE FROM usage_rollup")
    await DayCheckRepository(database).repair(DAY)
    await expect_sums(ledger_url, [*old, *late])
    await expect_no_drift(database)


async def test_a_day_that_was_detached_by_hand_is_found_and_does_not_stop_the_consumer(
    database: Database, ledger_url: str
) -> None:
    plane = FakeDataPlane(boot_id=1)
    old = events_then(plane, 20)
    late = events_then(plane, 3)
    await book(database, old)
    await execute(ledger_url, f"ALTER TABLE ledger_entry DETACH PARTITION {TABLE}")
    # A consumer that starts now knows no partition yet, and keeps the day's own name for what is there.
    assert await book(database, [*old, *late]) == 3
    assert await PartitionKeeper(PartitionRepository(database), lambda: THEN).keep_ahead() == 3
    assert await retire(database, THEN) == 0
    [recorded] = (await StateRepository(database).read()).detached_days
    assert (recorded.day, recorded.entries, recorded.is_kept) == (DAY, 20, True)
    await expect_no_drift(database)
    await expect_sums(ledger_url, [*old, *late])
    await execute(ledger_url, f"DROP TABLE {TABLE}")
    assert await book(database, [*old, *late]) == 0
    await expect_no_drift(database)


async def test_a_day_that_was_attached_again_is_a_day_like_others(database: Database, ledger_url: str) -> None:
    old = events_then(FakeDataPlane(boot_id=1), 4)
    await book(database, old)
    bounds = await fetch_value(
        ledger_url, f"SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = '{TABLE}'"
    )
    await retire(database)
    await execute(ledger_url, f"ALTER TABLE ledger_entry ATTACH PARTITION {TABLE} {bounds}")
    await retire(database, THEN)
    assert (await StateRepository(database).read()).detached_days == []
    assert await book(database, old) == 0
    await expect_no_drift(database)


async def test_a_day_in_use_is_detached_later_and_bookings_go_on(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    old, young = events_then(plane, 4), events_then(plane, 8, days=1)
    await book(database, [*old, *young[:4]])
    reader = await asyncpg.connect(ledger_url)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetchval("SELECT count(*) FROM ledger_entry")
    retiring = asyncio.create_task(retire(database))
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER%DETACH%'"

    async def is_waiting() -> bool:
        return bool(await fetch_value(ledger_url, waiting)) or retiring.done()

    await wait_until(is_waiting, timeout_s=5, interval_s=0.01)
    assert await asyncio.wait_for(book(database, young), 3) == 4
    assert await retiring == 0
    await transaction.rollback()
    await reader.close()
    assert await retire(database) >= 1
    await expect_sums(ledger_url, [*old, *young])


async def test_producers_that_are_complete_and_old_are_forgotten(database: Database, ledger_url: str) -> None:
    complete, gapped, young = FakeDataPlane(boot_id=1), FakeDataPlane(boot_id=2), FakeDataPlane(boot_id=3)
    old = events_then(complete, 5)
    missing = events_then(gapped, 5)
    await book(database, [*old, *missing[:2], *missing[3:], *events_then(young, 1, days=1)])
    age = f"now() - interval '{RETENTION_DAYS + PRODUCER_MARGIN_DAYS + 2} days'"
    await execute(ledger_url, f"UPDATE ledger_producer SET last_time = {age} WHERE boot_id < 3")
    await retire(database, datetime.now(UTC))
    left = "SELECT array_agg(boot_id ORDER BY boot_id) FROM ledger_producer"
    assert await fetch_value(ledger_url, left) == [2, 3]
    assert await book(database, old, datetime.now(UTC)) == 0


async def test_what_cannot_be_told_any_more_becomes_a_dead_letter(database: Database, ledger_url: str) -> None:
    forgotten, known = FakeDataPlane(boot_id=1), FakeDataPlane(boot_id=2)
    old, late = events_then(forgotten, 5), events_then(known, 3)
    await book(database, [*old, *late[:1]])
    await retire(database)
    await execute(ledger_url, f"DROP TABLE {TABLE}")
    await execute(ledger_url, "DELETE FROM ledger_producer WHERE boot_id = 1")
    await execute(ledger_url, "UPDATE ledger_producer SET first_time = '2026-06-01Z'")
    await execute(ledger_url, "INSERT INTO ledger_producer_horizon VALUES (true, '2026-07-01Z')")
    assert await book(database, [*old, *late], NOW) == 2
    letters = await DeadLetterRepository(database).list_after(0, 100, with_discarded=False)
    assert [stored.letter.sequence for stored in letters] == [1, 2, 3, 4, 5]
    assert all("cannot be told" in stored.letter.reason for stored in letters)
    await expect_sums(ledger_url, [*old, *late])
