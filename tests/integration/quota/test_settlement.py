"""What usage takes from budgets: once, in the transaction that books it, and what the ledger held before."""

import asyncio
import time
import uuid
from typing import Any

import asyncpg

from controlplane.db.engine import Database
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import LedgerEntry
from controlplane.ledger.repository import LedgerRepository
from controlplane.quota.checks.repository import BudgetCheckRepository
from controlplane.quota.rows import BucketName
from controlplane.quota.seeding import Seeding
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.specs import spec_of
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.quota.authorities import Authority, Plane, bucket_row, budget, count_drift, limits, spell
from tollway.config.v1 import resources_pb2 as pb
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_GRANTED, GRANT_RESULT_UNKNOWN, Ask, Grant
from tollway.usage.v1.usage_pb2 import Charge

BUDGET = spell()
NOW_US = time.time_ns() // 1000


def charge(grant: Grant, amount: int, *, lease_id: bytes | None = None) -> Charge:
    return Charge(
        bucket_id=grant.bucket_id,
        lease_id=grant.lease_id if lease_id is None else lease_id,
        window_start_ms=grant.window_start_ms,
        amount_nano_usd=amount,
    )


def entry(plane: FakeDataPlane, *charges: Charge, **fields: Any) -> LedgerEntry:
    return entry_of(plane.event(charges=charges, start_time_us=fields.pop("start_time_us", NOW_US), **fields))


async def test_an_entry_is_charged_once(authority: Authority, database: Database) -> None:
    authority.configure(budget())
    grant = await (await Plane.connect(authority)).ask(BUDGET, need=10_000)
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    entries = [entry(producer, charge(grant, 1_000), cost_nano_usd=1_000) for _ in range(5)]
    await ledger.book(entries[:3], [])
    await ledger.book(entries, [])
    await ledger.book(entries, [])
    row = await bucket_row(authority.url)
    assert (row["spent"], row["escrow"], row["charged_cost_nano_usd"]) == (5_000, 5_000, 5_000)
    assert await count_drift(authority.url) == 0


async def test_what_a_lease_is_overdrawn_by_is_spent_and_held_no_more(authority: Authority, database: Database) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=1_000)
    await LedgerRepository(database).book([entry(FakeDataPlane(1), charge(grant, 1_500))], [])
    row = await bucket_row(authority.url)
    assert (row["spent"], row["escrow"]) == (1_500, 0)
    await plane.ask(BUDGET, need=1_000, lease_id=grant.lease_id)
    assert (await bucket_row(authority.url))["escrow"] == 500


async def test_a_charge_without_a_lease_is_spent(authority: Authority, database: Database) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=10_000)
    charges = [charge(grant, 300, lease_id=b""), charge(grant, 200, lease_id=uuid.uuid4().bytes)]
    await LedgerRepository(database).book([entry(FakeDataPlane(1), *charges, cost_nano_usd=500)], [])
    row = await bucket_row(authority.url)
    assert (row["spent"], row["escrow"], row["charged_cost_nano_usd"]) == (500, 10_000, 500)


async def test_a_budget_starts_from_what_the_ledger_holds(authority: Authority, database: Database) -> None:
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    own = [entry(producer, team="teams/a", cost_nano_usd=1_000) for _ in range(3)]
    foreign = [entry(producer, team="teams/b", cost_nano_usd=50_000)]
    old = [entry(producer, team="teams/a", cost_nano_usd=7_000, start_time_us=NOW_US - 40 * 86_400_000_000)]
    await ledger.book([*own, *foreign, *old], [])
    authority.configure(budget(100_000, match=pb.Match(teams=["a"])))
    grant = await (await Plane.connect(authority)).ask(BUDGET, need=1)
    row = await bucket_row(authority.url)
    assert (row["spent"], row["prior"], grant.remaining) == (3_000, 3_000, 100_000 - 3_000 - 1)


async def test_budgets_by_what_only_entries_know_start_from_entries(authority: Authority, database: Database) -> None:
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    calls = [("u1", "prod"), ("u1", "prod"), ("u2", "prod"), ("u1", "test")]
    entries = [
        entry(producer, end_user=user, metadata={"env": env}, cost_nano_usd=1_000, requested_model="sim/echo")
        for user, env in calls
    ]
    await ledger.book(entries, [])
    match = pb.Match(metadata=[pb.MetadataMatch(key="env", values=["prod"])], models=["sim/*"])
    authority.configure(budget(match=match, per=["end_user"]))
    plane = await Plane.connect(authority)
    await plane.send(*(_ask(user) for user in ("u1", "u2")))
    assert (await bucket_row(authority.url, spell("budgets/b", 0, "u1")))["spent"] == 2_000
    assert (await bucket_row(authority.url, spell("budgets/b", 0, "u2")))["spent"] == 1_000


async def test_an_entry_counts_once_whether_it_or_the_bucket_came_first(
    authority: Authority, database: Database
) -> None:
    """Charges that are booked before the bucket was ever leased, at another amount than the cost."""
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=10_000)
    connection = await asyncpg.connect(authority.url)
    await connection.execute("TRUNCATE quota_bucket, quota_lease")
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    await ledger.book([entry(producer, cost_nano_usd=700), entry(producer, charge(grant, 900), cost_nano_usd=400)], [])
    row = await bucket_row(authority.url)
    assert (row["spent"], row["seed_time"]) == (900, None)
    await plane.ask(BUDGET, need=1)
    row = await bucket_row(authority.url)
    assert (row["spent"], row["prior"], row["rule"]) == (1_600, 700, "budgets/b")
    await connection.close()


async def test_seeding_is_exact_while_usage_is_booked(authority: Authority, database: Database) -> None:
    authority.configure(budget(10**12))
    grant = await (await Plane.connect(authority, boot_id=9)).ask(BUDGET, need=1)
    connection = await asyncpg.connect(authority.url)
    await connection.execute("TRUNCATE quota_bucket, quota_lease")
    await connection.close()
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    charged = [entry(producer, charge(grant, 10, lease_id=b""), cost_nano_usd=10) for _ in range(400)]
    plain = [entry(producer, cost_nano_usd=10_000) for _ in range(50)]
    await ledger.book(plain, [])

    async def book(part: list[LedgerEntry]) -> None:
        for start in range(0, len(part), 10):
            await ledger.book(part[start : start + 10], [])

    async def lease(through: Authority, first_boot_id: int) -> None:
        for boot_id in range(first_boot_id, first_boot_id + 10):
            await (await Plane.connect(through, boot_id=boot_id)).ask(BUDGET, need=1)

    other = Authority(authority.url, authority.resources)
    await asyncio.gather(
        book(charged[:200]), book(charged[200:]), book(charged[100:300]), lease(authority, 20), lease(other, 40)
    )
    await other.close()
    row = await bucket_row(authority.url)
    assert row["spent"] == 50 * 10_000 + 400 * 10
    assert row["seeds"] == 1, "whoever comes second changes nothing"
    assert await count_drift(authority.url) == 0


async def test_a_charge_that_knows_no_window_is_of_the_one_at_its_time(
    authority: Authority, database: Database
) -> None:
    authority.configure(budget(period=pb.BUDGET_PERIOD_DAY))
    grant = await (await Plane.connect(authority)).ask(BUDGET, need=1)
    unknown = Charge(bucket_id=grant.bucket_id, amount_nano_usd=700)
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    await ledger.book([entry(producer, unknown), entry(producer, charge(grant, 50))], [])
    connection = await asyncpg.connect(authority.url)
    rows = await connection.fetch("SELECT window_start_ms, spent FROM quota_bucket")
    await connection.close()
    assert [tuple(row) for row in rows] == [(grant.window_start_ms, 750)]
    assert (await BudgetCheckRepository(database).verify()).drifts == []


async def test_a_later_look_never_takes_back_what_was_spent(authority: Authority, database: Database) -> None:
    """The clock of a data plane may be behind as a period begins: by their time its entries are of the one before."""
    authority.configure(budget(period=pb.BUDGET_PERIOD_DAY))
    plane, producer, ledger = await Plane.connect(authority), FakeDataPlane(boot_id=1), LedgerRepository(database)
    grant = await plane.ask(BUDGET, need=10_000)
    before_us = grant.window_start_ms * 1000 - 2_000_000
    await ledger.book([entry(producer, charge(grant, 700), cost_nano_usd=700, start_time_us=before_us)], [])
    resource = authority.resources["budgets/b"]
    spec = spec_of(BucketName(uuid.UUID(bytes=grant.bucket_id), "budgets/b", "g1", 0, ()), authority.lookup, NOW_US)
    assert spec is not None
    await SeedRepository(database, database).seed_again(Seeding({spec.name.rule: resource.budget}, [spec]))
    assert (await bucket_row(authority.url))["spent"] == 700


async def test_a_ledger_that_is_slow_to_read_holds_up_no_other_bucket(authority: Authority) -> None:
    authority.configure(budget(), limits(pb.Limit(unit=pb.LIMIT_UNIT_REQUESTS, amount=100, window_ms=60_000)))
    plane, other = await Plane.connect(authority, boot_id=1), await Plane.connect(authority, boot_id=2)
    connection = await asyncpg.connect(authority.url)
    asks = (Ask(bucket=BUDGET, need=1), Ask(bucket=spell("rateLimits/r"), need=1))
    async with connection.transaction():
        await connection.execute("LOCK TABLE usage_group IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(3):
            answers = [await plane.send(*asks), await other.send(*asks), await plane.send(*asks)]
        results = [[grant.result for grant in answer.grants] for answer in answers]
        assert results == [[GRANT_RESULT_UNKNOWN, GRANT_RESULT_GRANTED]] * 3
    async with asyncio.timeout(10):
        while (await plane.ask(BUDGET, need=1)).result != GRANT_RESULT_GRANTED:
            await asyncio.sleep(0.01)
    await connection.close()


def _ask(user: str) -> Ask:
    return Ask(bucket=spell("budgets/b", 0, user), need=1)
