"""What budgets have spent and hold is compared with entries and leases, and corrected."""

import asyncpg
import pytest

from controlplane.db.engine import Database
from controlplane.ledger.repository import LedgerRepository
from controlplane.quota.checks.reports import Sum
from controlplane.quota.checks.repository import BudgetCheckRepository
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.quota.authorities import Authority, Plane, bucket_row, budget, spell
from tests.integration.quota.test_settlement import charge, entry

BUDGET = spell()


@pytest.fixture
async def charged(authority: Authority, database: Database) -> Authority:
    """A budget that began with 700, 10,000 of it leased, of which 900 and 50 are charged at a cost of 400 and 50."""
    producer, ledger = FakeDataPlane(boot_id=1), LedgerRepository(database)
    await ledger.book([entry(producer, cost_nano_usd=700)], [])
    authority.configure(budget())
    plane = await Plane.connect(authority)
    grant = await plane.ask(BUDGET, need=10_000)
    await ledger.book([entry(producer, charge(grant, 900), cost_nano_usd=400)], [])
    await ledger.book([entry(producer, charge(grant, 50, lease_id=b""), cost_nano_usd=50)], [])
    return authority


async def test_what_is_right_has_no_drift(charged: Authority, database: Database) -> None:
    report = await BudgetCheckRepository(database).verify()
    assert (report.buckets, report.unverified, report.drifts) == (1, 0, [])


@pytest.mark.parametrize(
    ("changed", "of", "expected"),
    [
        ("spent = spent - 1", Sum.SPENT, 950),
        ("charged_cost_nano_usd = 0", Sum.CHARGED_COST, 450),
        ("escrow = escrow + 7", Sum.ESCROW, 9_100),
        ("provisional = 3", Sum.PROVISIONAL, 0),
    ],
)
async def test_what_is_wrong_is_found_and_corrected(
    charged: Authority, database: Database, changed: str, of: Sum, expected: int
) -> None:
    right = await bucket_row(charged.url)
    await execute(charged.url, f"UPDATE quota_bucket SET {changed}")
    checks = BudgetCheckRepository(database)
    [drift] = (await checks.verify()).drifts
    assert (drift.sum, drift.expected, drift.bucket.rule) == (of, expected, "budgets/b")
    assert drift.found != expected
    assert len((await checks.repair()).drifts) == 1
    assert (await checks.verify()).drifts == []
    now = await bucket_row(charged.url)
    assert all(now[name] == right[name] for name in ("spent", "charged_cost_nano_usd", "escrow", "provisional"))


async def test_windows_that_are_over_are_left_alone(charged: Authority, database: Database) -> None:
    await execute(charged.url, "UPDATE quota_bucket SET window_end_ms = 1, spent = 0")
    report = await BudgetCheckRepository(database).verify()
    assert (report.buckets, report.drifts) == (0, [])


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
