"""Kills, races and replicas: a run ends with the same entries whatever happens on its way."""

import asyncio
import random
import uuid
from typing import Any

import asyncpg
import pytest

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.ledger.rerating.book import load_rater
from controlplane.ledger.rerating.repository import ReratingRepository
from controlplane.ledger.rerating.runs import ReratingRun
from controlplane.ledger.rerating.worker import ReratingWorker
from tests.integration.controlplane.admin import Admin, open_admin
from tests.integration.ledger.rerating.ledger import (
    NOON_US,
    adjustments,
    book,
    create,
    fetch_row,
    get,
    held,
    post,
    preview,
    random_calls,
    rerate,
    set_price,
    sums_are_of_entries,
    total_sums,
    work,
)
from tests.integration.ledger.waiting import wait_until
from tollway.admin.v1 import rerating_pb2 as admin_pb2
from tollway.kernel.usage import first_event_id

_WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_REFUSE = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS $$BEGIN RAISE EXCEPTION 'too large' USING ERRCODE = '22003'; END$$",
    "CREATE TRIGGER refuse BEFORE INSERT ON rerating_difference EXECUTE FUNCTION refuse()",
)
_IDENTITY = ("event_id", "adjusts", "cost_nano_usd", "state", "prior_state", "start_time", "price", "price_revision")


def small_worker(admin: Admin, batch_entries: int = 7) -> ReratingWorker:
    """As the control plane has it, with batches so small that a run takes many."""
    config = admin.rooms.config

    async def load(run: ReratingRun) -> Any:
        return await load_rater(config, run.price_book, run.config_revision)

    repository = ReratingRepository(config.database, batch_entries=batch_entries)
    return ReratingWorker(repository, load, config.now)


async def work_off(worker: ReratingWorker) -> None:
    while await worker.work():
        pass


async def told(url: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in _IDENTITY) for row in await adjustments(url)]


async def test_batches_of_any_size_come_to_the_same(admin: Admin, database: Database, ledger_url: str) -> None:
    await book(database, random_calls(150))
    run = await create(admin)
    await work_off(small_worker(admin))
    in_one_batch = await preview(admin)
    assert (await get(admin, run.name)).preview == in_one_batch.preview
    assert (await get(admin, run.name)).examined_entries == in_one_batch.examined_entries > 50


@pytest.mark.parametrize("seed", range(2))
async def test_cut_off_and_taken_over_it_ends_with_the_same_entries(
    admin: Admin, database: Database, ledger_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    await book(database, random_calls(120))
    run = await preview(admin)
    await post(admin, run.name)
    cuts = 0
    while (await get(admin, run.name)).state == admin_pb2.RERATING_STATE_POSTING:
        async with open_admin(ledger_url) as replica:
            worker = small_worker(replica, chance.randint(10, 30))
            for _ in range(chance.randint(0, 2)):
                await worker.work()
            working = asyncio.create_task(worker.work())
            for _ in range(chance.randint(0, 60)):
                await asyncio.sleep(0)
            cuts += working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    done = await get(admin, run.name)
    assert cuts > 2 and done.posted == run.preview and done.state == admin_pb2.RERATING_STATE_POSTED
    assert len(await adjustments(ledger_url)) == run.preview.changed_entries
    assert await sums_are_of_entries(database)
    assert (await rerate(admin)).posted.changed_entries == 0


async def test_a_database_that_drops_its_connections_leaves_no_half_of_a_batch(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(120))
    run = await preview(admin)
    await post(admin, run.name)
    async with held(ledger_url, "LOCK TABLE usage_rollup IN ACCESS EXCLUSIVE MODE"):
        working = asyncio.create_task(small_worker(admin, 50).work())
        await wait_until(lambda: _is_waiting(ledger_url), timeout_s=10)
        await execute(ledger_url, f"SELECT pg_terminate_backend(pid) {_WAITING}")
        with pytest.raises(Unavailable):
            await working
    assert await adjustments(ledger_url) == []
    await work(admin)
    assert (await get(admin, run.name)).posted == run.preview
    assert await sums_are_of_entries(database)


async def test_replicas_that_work_at_once_post_each_adjustment_once(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(120))
    run = await preview(admin)
    await post(admin, run.name)

    async def replica(number: int) -> None:
        async with open_admin(ledger_url) as opened:
            worker = small_worker(opened, 12 + number)
            while (await get(opened, run.name)).state == admin_pb2.RERATING_STATE_POSTING:
                await worker.work()

    await asyncio.gather(*(replica(number) for number in range(3)))
    assert (await get(admin, run.name)).posted == run.preview
    assert len(await adjustments(ledger_url)) == run.preview.changed_entries
    assert await sums_are_of_entries(database)


async def test_two_runs_over_the_same_entries_double_nothing(admin: Admin, database: Database, ledger_url: str) -> None:
    await book(database, random_calls(120))
    first, second = await preview(admin), await preview(admin)
    await post(admin, first.name)
    await post(admin, second.name)
    workers = [small_worker(admin, 11), small_worker(admin, 17)]
    await asyncio.gather(*(work_off(worker) for worker in workers))
    await work(admin)
    done = [await get(admin, run.name) for run in (first, second)]
    assert [run.state for run in done] == [admin_pb2.RERATING_STATE_POSTED] * 2
    assert (done[0].posted, done[1].posted.changed_entries) == (first.preview, 0)
    assert await sums_are_of_entries(database)


async def test_bookings_go_on_while_a_run_posts(admin: Admin, database: Database, ledger_url: str) -> None:
    await book(database, random_calls(200))
    run = await preview(admin)
    await post(admin, run.name)
    arriving = [random_calls(100, seed=seed) for seed in range(2, 5)]

    async def consume(entries: list[Any]) -> None:
        for start in range(0, len(entries), 20):
            await book(database, entries[start : start + 20])

    await asyncio.gather(work_off(small_worker(admin, 15)), *(consume(entries) for entries in arriving))
    await work(admin)
    assert (await get(admin, run.name)).state == admin_pb2.RERATING_STATE_POSTED
    booked = await fetch_row(ledger_url, "SELECT count(*) AS n FROM ledger_entry WHERE adjusts IS NULL")
    assert booked["n"] == 200 + 3 * 100
    assert await sums_are_of_entries(database)
    await rerate(admin)
    fresh = await rerate(admin)
    assert fresh.posted.changed_entries == 0


async def test_prices_are_those_of_the_preview_whatever_changes_later(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(100))
    await set_price(admin, "echo", "5")
    run = await preview(admin)
    await set_price(admin, "echo", "500")
    await post(admin, run.name)
    await work(admin)
    assert (await get(admin, run.name)).posted == run.preview


async def test_what_cannot_be_booked_ends_the_run_and_posting_again_goes_on(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(60))
    run = await preview(admin)
    await post(admin, run.name)
    await small_worker(admin, 10).work()
    for statement in _REFUSE:
        await execute(ledger_url, statement)
    await work(admin)
    failed = await get(admin, run.name)
    assert failed.state == admin_pb2.RERATING_STATE_FAILED and "22003" in failed.failure
    assert 0 < failed.posted.changed_entries < run.preview.changed_entries
    await execute(ledger_url, "DROP TRIGGER refuse ON rerating_difference")
    await post(admin, run.name)
    await work(admin)
    done = await get(admin, run.name)
    assert (done.posted, done.failure) == (run.preview, "")
    assert await sums_are_of_entries(database)


async def test_the_same_run_has_the_same_adjustments_in_every_replay(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(60))
    run = await preview(admin)
    await post(admin, run.name)
    await work(admin)
    before, sums = await told(ledger_url), await total_sums(ledger_url)
    # As after a restore of the run's row alone, to what it was before anything was posted.
    await execute(ledger_url, "UPDATE rerating_run SET state = 3, position = $1", _first_id())
    await work(admin)
    assert (await told(ledger_url), await total_sums(ledger_url)) == (before, sums)


def _first_id() -> uuid.UUID:
    return first_event_id(NOON_US // 1000)


async def _is_waiting(url: str) -> bool:
    return bool((await fetch_row(url, f"SELECT count(*) AS n {_WAITING}"))["n"])


async def execute(url: str, statement: str, *arguments: Any) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()
