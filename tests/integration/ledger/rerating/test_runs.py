"""A run from its preview to its posting, on a real ledger."""

from controlplane.db.engine import Database
from tests.integration.controlplane.admin import Admin
from tests.integration.ledger.rerating.ledger import (
    adjustments,
    book,
    differences,
    preview,
    random_calls,
    rerate,
    set_price,
    sums_are_of_entries,
    total_sums,
)
from tollway.admin.v1 import rerating_pb2 as admin_pb2


async def test_what_is_posted_is_what_was_previewed(admin: Admin, database: Database, ledger_url: str) -> None:
    await book(database, random_calls(300))
    before = await total_sums(ledger_url)
    run = await preview(admin)
    assert run.state == admin_pb2.RERATING_STATE_PREVIEWED
    assert await adjustments(ledger_url) == [] and await total_sums(ledger_url) == before
    posted = await rerate(admin)
    assert posted.state == admin_pb2.RERATING_STATE_POSTED
    assert posted.posted == posted.preview == run.preview and run.preview.changed_entries > 100
    assert await differences(admin, posted.name, posted=True) == await differences(admin, run.name, posted=False)
    assert len(await adjustments(ledger_url)) == run.preview.changed_entries
    assert await sums_are_of_entries(database)


async def test_again_changes_nothing(admin: Admin, database: Database, ledger_url: str) -> None:
    await book(database, random_calls(200))
    await rerate(admin)
    first, sums = await adjustments(ledger_url), await total_sums(ledger_url)
    again = await rerate(admin)
    assert again.posted == admin_pb2.ReratingSums(
        cost_before_usd="0.00", cost_after_usd="0.00", difference_usd="0.00", closed_difference_usd="0.00"
    )
    assert (await adjustments(ledger_url), await total_sums(ledger_url)) == (first, sums)


async def test_other_prices_and_back_again_give_the_first_sums(
    admin: Admin, database: Database, ledger_url: str
) -> None:
    await book(database, random_calls(200))
    await set_price(admin, "*", "7", "9")
    await rerate(admin)
    first = await total_sums(ledger_url)
    await set_price(admin, "*", "3")
    await rerate(admin)
    second = await total_sums(ledger_url)
    await set_price(admin, "*", "7", "9")
    await rerate(admin)
    assert await total_sums(ledger_url) == first != second
    assert await sums_are_of_entries(database)
