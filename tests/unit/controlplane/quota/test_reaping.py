"""What becomes of leases that nobody renews."""

import uuid
from dataclasses import replace

import pytest

from controlplane.quota.reaping import Standing, reaped
from controlplane.quota.rows import BucketKey, Kind, LeaseRow, LeaseState
from controlplane.quota.terms import EXPIRY_GRACE_US, SUSPENSE_US

NOW_US = 1_790_000_000_000_000
LEASE = LeaseRow(uuid.uuid4(), BucketKey(uuid.uuid4(), 0), "node", 1, 100, 30, 10, LeaseState.OPEN, NOW_US)
DEAD = Standing(Kind.BUDGET, alive=False, complete=False, enforced=True)
ALIVE = replace(DEAD, alive=True)
COMPLETE = replace(DEAD, complete=True)
AUDIT = replace(DEAD, enforced=False)
SLOTS = replace(DEAD, kind=Kind.SLOTS)


@pytest.mark.parametrize(
    ("state", "standing", "later_us", "expected"),
    [
        (LeaseState.OPEN, ALIVE, 10 * SUSPENSE_US, LeaseState.OPEN),
        (LeaseState.OPEN, DEAD, EXPIRY_GRACE_US - 1, LeaseState.OPEN),
        (LeaseState.OPEN, DEAD, EXPIRY_GRACE_US, LeaseState.SUSPENSE),
        (LeaseState.ENDED, ALIVE, 10 * SUSPENSE_US, LeaseState.ENDED),
        (LeaseState.ENDED, DEAD, 0, LeaseState.SUSPENSE),
        (LeaseState.SUSPENSE, DEAD, -1, LeaseState.SUSPENSE),
        (LeaseState.SUSPENSE, DEAD, 0, LeaseState.PROVISIONAL),
        (LeaseState.SUSPENSE, ALIVE, 0, LeaseState.PROVISIONAL),
        (LeaseState.SUSPENSE, AUDIT, 0, LeaseState.CLOSED),
        (LeaseState.SUSPENSE, COMPLETE, -1, LeaseState.CLOSED),
        (LeaseState.PROVISIONAL, DEAD, 10 * SUSPENSE_US, LeaseState.PROVISIONAL),
        (LeaseState.PROVISIONAL, COMPLETE, 0, LeaseState.CLOSED),
        (LeaseState.OPEN, SLOTS, -1, LeaseState.OPEN),
        (LeaseState.OPEN, SLOTS, 0, LeaseState.CLOSED),
        (LeaseState.CLOSED, DEAD, 0, LeaseState.CLOSED),
    ],
)
def test_a_lease_goes_where_it_belongs(
    state: LeaseState, standing: Standing, later_us: int, expected: LeaseState
) -> None:
    lease = replace(LEASE, state=state)
    once = reaped(lease, standing, NOW_US + later_us)
    assert once.state is expected
    assert reaped(once, standing, NOW_US + later_us) == once


def test_a_lease_in_suspense_has_a_quarter_of_an_hour() -> None:
    now_us = NOW_US + EXPIRY_GRACE_US
    assert reaped(LEASE, DEAD, now_us).expires_us == now_us + SUSPENSE_US


def test_what_has_nothing_outstanding_is_closed_at_once() -> None:
    lease = replace(LEASE, settled=90, state=LeaseState.SUSPENSE)
    assert reaped(lease, DEAD, NOW_US - 1).state is LeaseState.CLOSED
