"""The consumer is ready when no subject has a problem."""

from controlplane.ledger.consumer import LAST_BACKOFF_S, Backoff
from controlplane.ledger.readiness import ConsumerReadiness


def test_problems_are_told_together_and_only_when_they_change() -> None:
    told: list[str] = []
    readiness = ConsumerReadiness(told.append, "database", "nats")
    readiness.clear("database")
    readiness.report("nats", "away")
    readiness.report("nats", "away")
    readiness.report("database", "locked")
    readiness.clear("nats")
    readiness.clear("nats")
    readiness.clear("database")
    assert told == ["nats: starting", "nats: away", "nats: away; database: locked", "database: locked", ""]


def test_backoff_grows_to_its_bound() -> None:
    backoff = Backoff()
    waits = [backoff.next_s() for _ in range(12)]
    assert waits[0] <= 0.1
    assert LAST_BACKOFF_S / 2 <= waits[-1] <= LAST_BACKOFF_S
