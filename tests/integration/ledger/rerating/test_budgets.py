"""Adjustments move the budgets that their entries have charged."""

import uuid
from dataclasses import dataclass

import asyncpg

from controlplane.db.engine import Database
from controlplane.ledger.entries import EntryCharge
from tests.integration.controlplane.admin import Admin
from tests.integration.ledger.rerating.ledger import book, random_calls, rerate, set_price
from tollway.kernel.usage import SettlementState


@dataclass(frozen=True)
class Spent:
    """What a bucket has, and what its entries cost."""

    spent: int
    charged_cost: int


async def spent_of(url: str, bucket_id: uuid.UUID) -> Spent | None:
    connection = await asyncpg.connect(url)
    row = await connection.fetchrow(
        "SELECT spent, charged_cost_nano_usd FROM quota_bucket WHERE bucket_id = $1", bucket_id
    )
    await connection.close()
    return None if row is None else Spent(*row)


async def cost_of_charging(url: str) -> int:
    """The cost of all entries that charge a bucket, adjustments among them."""
    connection = await asyncpg.connect(url)
    cost = await connection.fetchval("SELECT sum(cost_nano_usd) FROM ledger_entry WHERE charges IS NOT NULL")
    await connection.close()
    return int(cost)


async def test_a_budget_follows_the_adjustments_of_what_charged_it(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    bucket_id = uuid.uuid4()
    calls = random_calls(200)
    charging = [
        call._replace(charges=(EntryCharge(bucket_id, None, 0, call.cost_nano_usd, True),)) for call in calls[:100]
    ]
    await book(database, [*charging, *calls[100:]])
    before = await cost_of_charging(ledger_url)
    assert await spent_of(ledger_url, bucket_id) == Spent(before, before)
    await set_price(admin, "*", "7", "9")
    await rerate(admin)
    after = await cost_of_charging(ledger_url)
    assert after != before
    assert await spent_of(ledger_url, bucket_id) == Spent(after, after)


async def test_what_was_charged_at_a_ceiling_is_charged_at_its_price_once_that_is_known(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    """An entry without a price costs nothing, and charged what the budget's ceiling made of it."""
    bucket_id = uuid.uuid4()
    unpriced = [
        call._replace(
            state=SettlementState.UNPRICED,
            cost_nano_usd=0,
            charges=(EntryCharge(bucket_id, None, 0, 7_000_000, True),),
        )
        for call in random_calls(50)
    ]
    await book(database, unpriced)
    assert await spent_of(ledger_url, bucket_id) == Spent(50 * 7_000_000, 0)
    await set_price(admin, "*", "7", "9")
    await rerate(admin)
    cost = await cost_of_charging(ledger_url)
    assert cost > 0
    rated = await count_rated(ledger_url)
    assert await spent_of(ledger_url, bucket_id) == Spent(cost + (50 - rated) * 7_000_000, cost)
    await set_price(admin, "*", "14", "18")
    await rerate(admin)
    cost = await cost_of_charging(ledger_url)
    assert await spent_of(ledger_url, bucket_id) == Spent(cost + (50 - rated) * 7_000_000, cost)


async def count_rated(url: str) -> int:
    connection = await asyncpg.connect(url)
    count = await connection.fetchval("SELECT count(DISTINCT adjusts) FROM ledger_entry WHERE adjusts IS NOT NULL")
    await connection.close()
    return int(count)
