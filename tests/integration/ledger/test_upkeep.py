"""What the consumer finds out of the ledger beside booking, as its metrics tell it."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from controlplane.db.engine import Database
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.convert import entry_of
from controlplane.ledger.decode import dead_letter
from controlplane.ledger.entries import Delivery
from controlplane.ledger.metrics import ConsumerMetrics
from controlplane.ledger.repository import LedgerRepository
from controlplane.ledger.retention.repository import RetentionRepository
from controlplane.ledger.retention.retirement import DayRetirement
from controlplane.ledger.state.repository import StateRepository
from controlplane.ledger.upkeep import CHECK_DAYS, LedgerUpkeep, UpkeepParts
from controlplane.quota.checks.repository import BudgetCheckRepository
from tests.fakes.usage_events import FakeDataPlane
from tests.integration.ledger.reading import execute

NOON = datetime.now(UTC).replace(hour=12)
NIGHT = NOON.replace(hour=2)


def upkeep(database: Database, registry: CollectorRegistry, now: datetime) -> LedgerUpkeep:
    retirement = DayRetirement(RetentionRepository(database), 400, lambda: now)
    state, days, budgets = StateRepository(database), DayCheckRepository(database), BudgetCheckRepository(database)
    return LedgerUpkeep(UpkeepParts(state, days, budgets, retirement, ConsumerMetrics(registry), lambda: now))


async def test_gaps_dead_letters_and_drift_become_metrics(database: Database, ledger_url: str) -> None:
    registry, plane = CollectorRegistry(), FakeDataPlane(boot_id=4)
    keeping = upkeep(database, registry, NOON)
    events = plane.events(6)
    booked = [entry_of(event) for event in (*events[:2], *events[3:5])]
    letters = [dead_letter(Delivery("s", n, 1, b""), -1, b"no batch %d" % n, "unreadable") for n in (1, 2, 3)]
    await LedgerRepository(database).book(booked, letters)
    await keeping.tell_state()
    await execute(
        ledger_url,
        "UPDATE ledger_gap SET seen_time = now() - interval '61 seconds'",
        "UPDATE usage_rollup SET errors = 5",
    )
    await keeping.check_days()
    await keeping.tell_state()
    assert registry.get_sample_value("tollway_ledger_producer_gaps") == 1
    assert registry.get_sample_value("tollway_ledger_dead_letters") == 3
    assert (registry.get_sample_value("tollway_ledger_drift_rows") or 0) >= 1
    checked_s = registry.get_sample_value("tollway_ledger_check_timestamp_seconds") or 0
    assert abs(checked_s - datetime.now(UTC).timestamp()) < 60


async def test_a_check_is_due_at_night_or_when_it_is_overdue(database: Database, ledger_url: str) -> None:
    state = StateRepository(database)

    async def check_after(hours: int, now: datetime) -> int:
        """Days that were compared when the last check began so long ago."""
        await execute(ledger_url, f"UPDATE ledger_check SET start_time = now() - interval '{hours} hours', days = 0")
        await upkeep(database, CollectorRegistry(), now).check_days()
        check = (await state.read()).check
        return 0 if check is None else check.days

    assert await check_after(0, NOON) == CHECK_DAYS
    assert await check_after(24, NOON) == 0
    assert await check_after(1, NIGHT) == 0
    assert await check_after(24, NIGHT) == CHECK_DAYS
    assert await check_after(29, NOON + timedelta(hours=1)) == CHECK_DAYS
