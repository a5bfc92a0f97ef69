"""Readiness and what listens to it."""

from controlplane.transport.readiness import Readiness


def test_it_starts_with_a_reason_and_ends_with_one() -> None:
    readiness = Readiness("starting")
    told: list[str] = []
    readiness.listen(lambda: told.append(readiness.reason))
    assert (readiness.is_ready, readiness.obstacle) == (False, "starting")
    readiness.set_reason("the database is empty")
    readiness.set_reason("the database is empty")
    readiness.set_ready()
    assert (readiness.is_ready, readiness.obstacle) == (True, "")
    readiness.set_reason("stopping")
    assert (readiness.is_ready, readiness.obstacle) == (False, "")
    assert told == ["the database is empty", "", "stopping"]
