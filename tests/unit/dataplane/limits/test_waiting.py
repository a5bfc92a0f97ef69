"""Calls that wait for one bucket, while another one has what they need."""

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.leases import LeaseTable
from dataplane.limits.reservations import Reservation, State
from tests.fakes.quota import FakeAuthority
from tests.unit.dataplane.limits.buckets import Heard, bucket

EMPTY, SLOTS = "budgets/empty", "rateLimits/slots"


def test_what_is_there_is_not_asked_for_again() -> None:
    """Seed 5 of the simulator: each grant of the slots woke the waiting call, which asked for them at once again."""
    authority = FakeAuthority(caps={EMPTY: 0, SLOTS: 10}, deny_ms=400)
    table = _table(authority)
    buckets = bucket(EMPTY), bucket(SLOTS, Kind.SLOTS, amount=10)
    table.reserve(_reservation(table, buckets), 0)
    table.reserve(_reservation(table, buckets), 0)
    for now_ms in range(0, 200, 5):
        _exchange(table, authority, now_ms)
    assert len([ask for ask in authority.asks if ask.bucket.rule == SLOTS]) <= 2


def test_what_those_behind_the_first_need_is_asked_for() -> None:
    """The first call waits for its budget, the second only for the slot that the first is before it in line for."""
    authority = FakeAuthority(caps={EMPTY: 5, SLOTS: 1}, deny_ms=400)
    table = _table(authority)
    first = _reservation(table, (bucket(EMPTY), bucket(SLOTS, Kind.SLOTS, amount=10)), amounts=(10, 1))
    table.reserve(first, 0)
    _exchange(table, authority, 0)
    second = _reservation(table, (bucket(SLOTS, Kind.SLOTS, amount=10),), amounts=(1,))
    table.reserve(second, 5)
    _exchange(table, authority, 5)
    authority.caps[SLOTS] = 10
    for now_ms in range(100, 500, 100):
        table.tick(now_ms)
        _exchange(table, authority, now_ms)
    assert second.state is State.HELD


def _table(authority: FakeAuthority) -> LeaseTable:
    table = LeaseTable(Heard(), 0)
    authority.hello(table.greet())
    table.opened()
    return table


def _reservation(table: LeaseTable, buckets: tuple[Bucket, ...], amounts: tuple[int, ...] = (10, 1)) -> Reservation:
    return Reservation([table.need(made, amount, 0) for made, amount in zip(buckets, amounts, strict=True)])


def _exchange(table: LeaseTable, authority: FakeAuthority, now_ms: int) -> None:
    update = table.exchange.next_update(now_ms)
    if update is not None:
        table.take(authority.answer(update), now_ms)
