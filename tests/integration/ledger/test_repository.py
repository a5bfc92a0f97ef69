"""Booking on a real database: each event once, its sums with it, or nothing."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import MetaData

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import DeadLetter, LedgerEntry
from controlplane.ledger.repository import EntriesRejected, LedgerRepository
from controlplane.ledger.tables import ledger_metadata
from controlplane.migrations import upgrade
from tests.fakes.usage_events import FakeDataPlane, Truth, rich_readings
from tests.integration.ledger.reading import count_drift, fetch_value, ledger_truth
from tests.integration.ledger.waiting import wait_until
from tollctl.local.postgres import EmbeddedPostgres
from tollway.usage.v1.usage_pb2 import UsageEvent

_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def entries_of(events: Sequence[UsageEvent]) -> list[LedgerEntry]:
    return [entry_of(event) for event in events]


async def test_a_second_time_changes_nothing(database: Database, ledger_url: str) -> None:
    repository = LedgerRepository(database)
    plane = FakeDataPlane(boot_id=1)
    events = [*plane.events(300), plane.event(attempt=0, status=429, state=7, meters=[], cost_nano_usd=0)]
    entries = entries_of(events)
    first = await repository.book(entries[:200], [])
    second = await repository.book([*entries, *entries[:50]], [])
    assert (first.inserted, first.duplicates) == (200, 0)
    assert (second.inserted, second.duplicates) == (101, 250)
    assert await ledger_truth(ledger_url) == Truth.of(events)
    assert await count_drift(ledger_url) == 0


async def test_every_field_is_kept(database: Database, ledger_url: str) -> None:
    event = FakeDataPlane(boot_id=1).event(
        metadata={"app": 'x"\\é'}, meters=rich_readings(), end_user="u", first_frame_time_us=0, traceparent="0" * 55
    )
    entry = entry_of(event)
    await LedgerRepository(database).book([entry], [])
    connection = await asyncpg.connect(ledger_url)
    row = dict(
        await connection.fetchrow("SELECT *, metadata->>'app' AS app, meters->>'reasoning' AS r FROM ledger_entry")
    )
    await connection.close()
    assert (row["event_id"], row["request_id"]) == (entry.event_id, entry.request_id)
    assert (row["app"], row["r"], row["key_owner"], row["end_user"]) == ('x"\\é', "4", entry.user, "u")
    assert row["first_frame_time"] is None
    assert round(row["start_time"].timestamp() * 1_000_000) == entry.start_time_us
    assert (row["state"], row["cost_nano_usd"], row["price"]) == (1, entry.cost_nano_usd, "prices/sim")


async def test_many_writers_of_the_same_events_neither_lock_up_nor_count_twice(
    database: Database, ledger_url: str
) -> None:
    events = [event for boot_id in range(1, 5) for event in FakeDataPlane(boot_id).events(400)]
    entries = entries_of(events)
    repository = LedgerRepository(database)

    async def write(seed: int) -> None:
        mine = entries[:]
        random.Random(seed).shuffle(mine)
        for start in range(0, len(mine), 150):
            await repository.book(mine[start : start + 150], [])

    await asyncio.gather(*(write(seed) for seed in range(4)))
    assert await ledger_truth(ledger_url) == Truth.of(events)
    assert await count_drift(ledger_url) == 0


async def test_a_transaction_cut_short_leaves_nothing(database: Database, ledger_url: str) -> None:
    entries = entries_of(FakeDataPlane(boot_id=1).events(100))
    repository = LedgerRepository(database)
    blocker = await asyncpg.connect(ledger_url)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE usage_rollup IN ACCESS EXCLUSIVE MODE")
    booking = asyncio.create_task(repository.book(entries, []))

    async def is_waiting() -> bool:
        return bool(await fetch_value(ledger_url, _WAITING))

    await wait_until(is_waiting, timeout_s=10)
    booking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await booking
    await transaction.rollback()
    await blocker.close()
    assert (await ledger_truth(ledger_url)).events == 0
    assert (await repository.book(entries, [])).inserted == 100


async def test_data_that_the_database_cannot_take_is_told_apart(database: Database, ledger_url: str) -> None:
    entries = entries_of(FakeDataPlane(boot_id=1).events(3))
    repository = LedgerRepository(database)
    for poison in (entries[1]._replace(end_user="a\0"), entries[1]._replace(price_revision=1 << 70)):
        with pytest.raises(EntriesRejected):
            await repository.book([entries[0], poison, entries[2]], [])
    assert (await ledger_truth(ledger_url)).events == 0
    await repository.book(entries, [])
    assert (await ledger_truth(ledger_url)).events == 3


async def test_sums_that_overflow_are_refused_and_not_wrapped(database: Database, ledger_url: str) -> None:
    repository = LedgerRepository(database)
    plane = FakeDataPlane(boot_id=1)
    dear = entries_of([plane.event(team="teams/a", cost_nano_usd=2**53) for _ in range(1025)])
    await repository.book(dear[:1000], [])
    with pytest.raises(EntriesRejected):
        await repository.book(dear[1000:], [])
    assert (await ledger_truth(ledger_url)).cost_nano_usd == 1000 * 2**53
    assert await count_drift(ledger_url) == 0


async def test_dead_letters_are_kept_once(database: Database, ledger_url: str) -> None:
    repository = LedgerRepository(database)
    for deliveries in (1, 3, 2):
        await repository.book([], [DeadLetter("s", 1, deliveries, -1, b"\xff", "bad")])
    await repository.book([], [DeadLetter("s", 1, 1, -1, b"other stream, same sequence", "bad")])
    statement = "SELECT array_agg(deliveries ORDER BY deliveries) FROM ledger_dead_letter"
    assert await fetch_value(ledger_url, statement) == [1, 3]


async def test_a_missing_schema_is_unavailable_and_not_poison(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(Unavailable, match="not as expected"):
        await LedgerRepository(database).book(entries_of(FakeDataPlane(boot_id=1).events(1)), [])
    await database.close()


async def test_tables_are_as_the_migrations_make_them(database: Database) -> None:
    reflected = MetaData()
    async with database.engine.connect() as connection:
        await connection.run_sync(reflected.reflect, only=list(ledger_metadata.tables))
    for name, table in ledger_metadata.tables.items():
        found = reflected.tables[name]
        assert [(c.name, c.nullable) for c in table.columns] == [(c.name, c.nullable) for c in found.columns]
        assert [c.name for c in table.primary_key] == [c.name for c in found.primary_key]


async def test_the_ledger_runs_on_the_oldest_postgres_too(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", version="16", fsync=False)
    url = await server.start()
    try:
        await upgrade(url)
        database = Database(url)
        events = FakeDataPlane(boot_id=1).events(50)
        await LedgerRepository(database).book(entries_of(events), [])
        await database.close()
        assert await ledger_truth(url) == Truth.of(events)
    finally:
        await server.stop()
