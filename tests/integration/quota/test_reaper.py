"""Leases of data planes that are gone: in suspense, closed when all usage is booked, or counted as spent."""

import asyncpg
from prometheus_client import CollectorRegistry

from controlplane.db.engine import Database
from controlplane.ledger.producers.repository import ProducerProgress
from controlplane.ledger.repository import LedgerRepository
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.reaper.repository import ReaperRepository
from controlplane.quota.reaper.worker import Reaper
from controlplane.quota.rows import LeaseState
from controlplane.quota.seeds.repository import SeedRepository
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.quota.authorities import Authority, Plane, bucket_row, budget, count_drift, limits, spell
from tests.integration.quota.test_settlement import charge, entry
from tollway.config.v1 import resources_pb2 as pb
from tollway.kernel.subjects import USAGE_STREAM
from tollway.quota.v1.quota_pb2 import Grant

BUDGET, SLOTS = spell(), spell("rateLimits/r", 0)


def reaper(authority: Authority) -> Reaper:
    database = authority.database
    metrics = QuotaMetrics(CollectorRegistry())
    return Reaper(ReaperRepository(database), SeedRepository(database, database), authority.lookup, metrics)


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def state_of(url: str, grant: Grant) -> LeaseState:
    connection = await asyncpg.connect(url)
    state = await connection.fetchval("SELECT state FROM quota_lease WHERE encode(uuid_send(lease_id), 'hex') = $1",
                                      grant.lease_id.hex())  # fmt: skip
    await connection.close()
    return LeaseState(state)


async def lose(authority: Authority, plane: Plane, seconds: int) -> None:
    """The data plane was last heard of some seconds before its leases expired, and that long ago."""
    await authority.service.leave(plane.session)
    await run(authority.url, f"UPDATE quota_lease SET expires_us = expires_us - {seconds} * 1000000::bigint")


async def test_a_lost_lease_is_in_suspense_then_spent_then_proven(authority: Authority, database: Database) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=100_000)
    worker = reaper(authority)
    await lose(authority, plane, 60)
    await worker.work()
    assert await state_of(authority.url, grant) is LeaseState.OPEN
    await lose(authority, plane, 15)
    await worker.work()
    assert await state_of(authority.url, grant) is LeaseState.SUSPENSE
    await lose(authority, plane, 15 * 60)
    await worker.work()
    row = await bucket_row(authority.url)
    assert (row["escrow"], row["provisional"], row["spent"]) == (0, 100_000, 0)
    await LedgerRepository(database).book([entry(FakeDataPlane(1), charge(grant, 30_000))], [])
    row = await bucket_row(authority.url)
    assert (row["escrow"], row["provisional"], row["spent"]) == (0, 70_000, 30_000)
    await ProducerProgress(database, USAGE_STREAM).complete({1})
    await worker.work()
    row = await bucket_row(authority.url)
    assert (row["escrow"], row["provisional"], row["spent"]) == (0, 0, 30_000)
    assert await count_drift(authority.url) == 0
    gap = await asyncpg.connect(authority.url)
    amount, is_closed = await gap.fetchrow("SELECT amount_nano_usd, close_time IS NOT NULL FROM quota_gap")
    await gap.close()
    assert (amount, is_closed) == (100_000, True)


async def test_suspense_ends_when_the_producer_is_complete(authority: Authority, database: Database) -> None:
    authority.configure(budget())
    grant = await (plane := await Plane.connect(authority, node="n")).ask(BUDGET, need=100_000)
    await authority.service.leave(plane.session)
    await Plane.connect(authority, boot_id=2, node="n")
    assert await state_of(authority.url, grant) is LeaseState.SUSPENSE
    await reaper(authority).work()
    assert (await bucket_row(authority.url))["escrow"] == 100_000
    await ProducerProgress(database, USAGE_STREAM).complete({1})
    await reaper(authority).work()
    assert (await bucket_row(authority.url))["escrow"] == 0
    assert await state_of(authority.url, grant) is LeaseState.CLOSED


async def test_a_budget_that_only_watches_gives_up_what_is_lost(authority: Authority) -> None:
    authority.configure(budget(mode=pb.ENFORCEMENT_MODE_AUDIT))
    plane = await Plane.connect(authority)
    await plane.ask(BUDGET, need=100_000)
    for _ in range(2):
        await lose(authority, plane, 20 * 60)
        await reaper(authority).work()
    row = await bucket_row(authority.url)
    assert (row["escrow"], row["provisional"]) == (0, 0)


async def test_leases_of_a_data_plane_that_lives_are_left_alone(authority: Authority) -> None:
    authority.configure(budget())
    grant = await (await Plane.connect(authority)).ask(BUDGET, need=100_000)
    await run(authority.url, "UPDATE quota_lease SET expires_us = 0")
    await reaper(authority).work()
    assert await state_of(authority.url, grant) is LeaseState.OPEN


async def test_slots_come_free_at_their_expiry(authority: Authority) -> None:
    authority.configure(limits(pb.Limit(unit=pb.LIMIT_UNIT_CONCURRENT, amount=4)))
    await (await Plane.connect(authority)).ask(SLOTS, need=4)
    await run(authority.url, "UPDATE quota_lease SET expires_us = 0")
    await reaper(authority).work()
    assert (await bucket_row(authority.url))["escrow"] == 0


async def test_a_seed_is_looked_at_twice_again(authority: Authority, database: Database) -> None:
    """Calls that ran while the budget was made carry no charge for it, and some run for many minutes."""
    authority.configure(budget())
    await (await Plane.connect(authority)).ask(BUDGET, need=1)
    for minutes, spent in ((1, 0), (2, 1_400), (10, 1_400), (3, 2_800)):
        await LedgerRepository(database).book([entry(FakeDataPlane(minutes), cost_nano_usd=700)], [])
        await run(authority.url, f"UPDATE quota_bucket SET seed_time = seed_time - interval '{minutes} minutes'")
        await reaper(authority).work()
        await reaper(authority).work()
        assert (await bucket_row(authority.url))["spent"] == spent


async def test_what_nobody_needs_is_forgotten(authority: Authority) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=1)
    await reaper(authority).work(prunes=True)
    assert await bucket_row(authority.url) is not None
    await plane.give_back(grant, 1, final=True)
    await run(authority.url, "UPDATE quota_lease SET change_time = now() - interval '2 days'")
    await run(authority.url, "UPDATE quota_bucket SET window_end_ms = 1, change_time = now() - interval '4 days'")
    await reaper(authority).work(prunes=True)
    assert await bucket_row(authority.url) is None
