"""Daily partitions on a real database."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from controlplane.db.engine import Database
from controlplane.ledger.booking import Bookkeeper, read_parcels
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import Delivery
from controlplane.ledger.keeper import PartitionKeeper
from controlplane.ledger.partitions import DAYS_AHEAD
from controlplane.ledger.repository import LedgerRepository, PartitionRepository
from tests.fakes.usage_events import FakeDataPlane, Truth, batch
from tests.integration.ledger.reading import fetch_value, ledger_truth
from tollway.usage.v1.usage_pb2 import UsageEvent

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_BY_PARTITION = "SELECT tableoid::regclass::text AS name, count(*) AS entries FROM ledger_entry GROUP BY 1"
_PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ledger_entry'::regclass"


def event_at(plane: FakeDataPlane, days: int) -> UsageEvent:
    return plane.event(start_time_us=round((NOW + timedelta(days=days)).timestamp()) * 1_000_000)


def keeper(database: Database, days: int = 0) -> PartitionKeeper:
    return PartitionKeeper(PartitionRepository(database), lambda: NOW + timedelta(days=days))


async def entries_by_partition(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    try:
        return {row["name"]: row["entries"] for row in await connection.fetch(_BY_PARTITION)}
    finally:
        await connection.close()


async def test_events_of_past_and_future_days_get_partitions_as_they_come(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    events = [event_at(plane, days) for days in (-400, -3, 0, 0, DAYS_AHEAD, 30)]
    [parcels] = read_parcels([Delivery("s", 1, 1, batch(events))])
    await Bookkeeper(LedgerRepository(database), keeper(database)).book(parcels)
    assert await entries_by_partition(ledger_url) == {
        "ledger_entry_20261119": 1,
        "ledger_entry_20261122": 2,
        "ledger_entry_20261129": 1,
        "ledger_entry_default": 2,
    }
    assert await ledger_truth(ledger_url) == Truth.of(events)


async def test_the_keeper_stays_ahead_and_moves_strays_into_their_day(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    events = [event_at(plane, 0), event_at(plane, 20), event_at(plane, 20)]
    await LedgerRepository(database).book([entry_of(event) for event in events], [])
    assert await entries_by_partition(ledger_url) == {"ledger_entry_default": 3}
    assert await keeper(database).keep_ahead() == 2
    assert await keeper(database, days=18).keep_ahead() == 0
    assert await entries_by_partition(ledger_url) == {"ledger_entry_20261122": 1, "ledger_entry_20261212": 2}
    again = await LedgerRepository(database).book([entry_of(event) for event in events], [])
    assert (again.inserted, again.duplicates) == (0, 3)


async def test_two_keepers_and_a_writer_do_not_hinder_each_other(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=1)
    events = [event_at(plane, days) for days in range(-10, 8) for _ in range(20)]
    repository = LedgerRepository(database)
    writes = [repository.book([entry_of(event) for event in events[n::6]], []) for n in range(6)]
    await asyncio.gather(*writes, *(keeper(database, days).keep_ahead() for days in (-9, -9, 0, 0)))
    assert await ledger_truth(ledger_url) == Truth.of(events)
    assert await fetch_value(ledger_url, _PARTITIONS) == 1 + 2 * (DAYS_AHEAD + 2)


async def test_an_existing_partition_is_left_alone(database: Database, ledger_url: str) -> None:
    await keeper(database).keep_ahead()
    await keeper(database).keep_ahead()
    assert await fetch_value(ledger_url, _PARTITIONS) == 1 + DAYS_AHEAD + 2
