"""Leases on a real database, with two authorities at once."""

import asyncio
import random
from collections.abc import Sequence

import asyncpg
import pytest

from controlplane.errors import Unavailable
from controlplane.quota.rows import BucketKey
from controlplane.quota.session import Holder
from controlplane.quota.sessions.repository import Fenced
from controlplane.quota.situation import Wanted
from tests.integration.quota.authorities import (
    CAP,
    Authority,
    Plane,
    bucket_row,
    budget,
    count_drift,
    held,
    limits,
    spell,
)
from tollway.config.v1 import resources_pb2 as pb
from tollway.quota.v1.quota_pb2 import (
    GRANT_RESULT_EXHAUSTED,
    GRANT_RESULT_GRANTED,
    GRANT_RESULT_UNKNOWN,
    Ask,
    Grant,
)

BUDGET = spell()
REQUESTS, SLOTS = spell("rateLimits/r", 0), spell("rateLimits/r", 1)
RULES = limits(
    pb.Limit(unit=pb.LIMIT_UNIT_REQUESTS, amount=60, window_ms=60_000),
    pb.Limit(unit=pb.LIMIT_UNIT_CONCURRENT, amount=4),
)


async def test_two_authorities_never_grant_beyond_the_cap(authority: Authority, other: Authority) -> None:
    authority.configure(budget())
    planes = [await Plane.connect(on, boot_id=n) for n, on in enumerate([authority, other] * 4, start=1)]

    async def spend(plane: Plane) -> int:
        chance, granted, lease_id = random.Random(plane.session.holder.boot_id), 0, b""
        while True:
            grant = await plane.ask(BUDGET, need=chance.randint(1, 20_000), want=50_000, lease_id=lease_id)
            if grant.result == GRANT_RESULT_EXHAUSTED and grant.remaining < 20_000:
                return granted
            lease_id, granted = grant.lease_id or lease_id, max(granted, grant.granted_total)

    total = sum(await asyncio.gather(*(spend(plane) for plane in planes)))
    row = await bucket_row(authority.url)
    assert row["escrow"] == total <= CAP
    assert total > 0.97 * CAP
    assert await count_drift(authority.url) == 0


async def test_a_rate_is_one_for_all_authorities(authority: Authority, other: Authority) -> None:
    authority.configure(RULES)
    planes = [await Plane.connect(on, boot_id=n) for n, on in enumerate([authority, other], start=1)]

    async def call(plane: Plane) -> Sequence[Grant]:
        return [await plane.ask(REQUESTS, need=1) for _ in range(50)]

    grants = [grant for many in await asyncio.gather(*map(call, planes)) for grant in many]
    admitted = sum(grant.result == GRANT_RESULT_GRANTED for grant in grants)
    assert 60 <= admitted <= 66


async def test_a_rate_whose_table_was_lost_begins_empty(authority: Authority) -> None:
    authority.configure(RULES)
    plane = await Plane.connect(authority)
    assert (await plane.ask(REQUESTS, need=60)).result == GRANT_RESULT_GRANTED
    connection = await asyncpg.connect(authority.url)
    await connection.execute("TRUNCATE quota_rate, quota_rate_mark")
    await connection.close()
    refused = await plane.ask(REQUESTS, need=2)
    assert refused.result == GRANT_RESULT_EXHAUSTED
    assert 0 < refused.deny_ms <= 2_000


async def test_slots_are_freed_by_their_expiry(authority: Authority, other: Authority) -> None:
    authority.configure(RULES)
    plane, rival = await Plane.connect(authority, boot_id=1), await Plane.connect(other, boot_id=2)
    await plane.ask(SLOTS, need=3)
    assert (await rival.ask(SLOTS, need=2)).result == GRANT_RESULT_EXHAUSTED
    connection = await asyncpg.connect(authority.url)
    await connection.execute("UPDATE quota_lease SET expires_us = expires_us - 15000000")
    await connection.close()
    assert (await rival.ask(SLOTS, need=4)).result == GRANT_RESULT_GRANTED
    assert await count_drift(authority.url) == 0


async def test_an_older_stream_is_fenced_on_every_authority(authority: Authority, other: Authority) -> None:
    authority.configure(budget())
    zombie = await Plane.connect(authority, generation=1)
    await zombie.ask(BUDGET, need=1_000)
    await Plane.connect(other, generation=2)
    with pytest.raises(Fenced):
        await zombie.ask(BUDGET, need=1_000)
    with pytest.raises(Fenced):
        await Plane.connect(authority, generation=2)


async def test_what_a_lost_answer_granted_is_free_again(authority: Authority, other: Authority) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    seen = await plane.ask(BUDGET, need=1_000)
    await plane.ask(BUDGET, need=300_000, lease_id=seen.lease_id)
    await plane.ask(BUDGET, need=200_000)
    await Plane.connect(other, held(BUDGET, seen, 1_000), generation=2)
    assert (await bucket_row(authority.url))["escrow"] == 1_000
    assert await count_drift(authority.url) == 0


async def test_a_lease_that_the_database_lost_is_put_back(authority: Authority) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=700_000)
    connection = await asyncpg.connect(authority.url)
    await connection.execute("TRUNCATE quota_lease, quota_bucket, quota_session")
    await connection.close()
    plane = await Plane.connect(authority, held(BUDGET, grant, 700_000), generation=2)
    assert (await plane.ask(BUDGET, need=400_000)).result == GRANT_RESULT_EXHAUSTED
    assert (await bucket_row(authority.url))["escrow"] == 700_000


async def test_a_cap_below_what_is_held_grants_nothing_and_recalls(authority: Authority) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=600_000)
    authority.configure(budget(500_000))
    response = await plane.send(Ask(bucket=BUDGET, need=1, lease_id=grant.lease_id, has=600_000))
    assert [g.result for g in response.grants] == [GRANT_RESULT_EXHAUSTED]
    assert [r.lease_id for r in response.recalls] == [grant.lease_id]
    await plane.give_back(grant, 200_000)
    assert (await plane.ask(BUDGET, need=50_000, lease_id=grant.lease_id)).result == GRANT_RESULT_GRANTED


async def test_another_generation_has_other_buckets(authority: Authority) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=600_000)
    authority.configure(budget(generation="g2"))
    assert (await plane.ask(BUDGET, need=1, lease_id=grant.lease_id)).result == GRANT_RESULT_UNKNOWN
    fresh = await plane.ask(spell(generation="g2"), need=600_000)
    assert fresh.result == GRANT_RESULT_GRANTED
    await plane.give_back(grant, 600_000, final=True)
    assert (await bucket_row(authority.url, BUDGET))["escrow"] == 0


async def test_leases_are_read_after_the_lock_of_their_bucket(authority: Authority, other: Authority) -> None:
    """One statement that locks and reads would see what was there before it waited."""
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=600_000)
    connection = await asyncpg.connect(authority.url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM quota_bucket FOR UPDATE")
    await connection.execute("UPDATE quota_lease SET settled = 500000")
    await connection.execute("UPDATE quota_bucket SET escrow = escrow - 500000, spent = spent + 500000")
    waiting = asyncio.create_task(plane.ask(BUDGET, need=100_000, lease_id=grant.lease_id))
    await _until_waiting(connection)
    await transaction.commit()
    await connection.close()
    assert (await waiting).granted_total == 700_000
    assert (await bucket_row(authority.url))["escrow"] == 200_000
    assert await count_drift(authority.url) == 0


async def test_a_lock_that_lasts_is_an_answer_in_time(authority: Authority) -> None:
    authority.configure(budget())
    plane = await Plane.connect(authority)
    await plane.ask(BUDGET, need=1)
    connection = await asyncpg.connect(authority.url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM quota_bucket FOR UPDATE")
    async with asyncio.timeout(4):
        with pytest.raises(Unavailable):
            await plane.ask(BUDGET, need=1)
    await transaction.rollback()
    await connection.close()


async def test_a_transaction_that_stands_still_lets_go_of_its_locks(authority: Authority, other: Authority) -> None:
    """As of a control plane that is stopped between two statements."""
    authority.configure(budget())
    plane, rival = await Plane.connect(authority, boot_id=1), await Plane.connect(other, boot_id=2)
    await plane.ask(BUDGET, need=1)
    async with asyncio.timeout(8):
        with pytest.raises(Unavailable):
            async with authority.service._stores.quota.update(Holder("node-1", 1, 1)) as transaction:
                await transaction.load(Wanted(buckets=frozenset(await _keys(authority.url))))
                while (await _try_ask(rival)) is None:
                    await asyncio.sleep(0.05)
                await transaction.load(Wanted(buckets=frozenset(await _keys(authority.url))))


async def _try_ask(plane: Plane) -> Grant | None:
    try:
        return await plane.ask(BUDGET, need=1)
    except Unavailable:
        return None


async def _keys(url: str) -> list[BucketKey]:
    row = await bucket_row(url)
    return [BucketKey(row["bucket_id"], row["window_start_ms"])]


async def _until_waiting(connection: asyncpg.Connection) -> None:
    async with asyncio.timeout(10):
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)
