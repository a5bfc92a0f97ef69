"""The lease table, case by case, against a small authority."""

import pytest

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.leases import MAX_WAITING_PER_BUCKET, WAIT_MS, LeaseTable
from dataplane.limits.reservations import Reason, Reservation, State
from dataplane.rules import OnUnavailable
from tests.fakes.quota import FakeAuthority
from tests.unit.dataplane.limits.buckets import Heard, bucket
from tollway.quota.v1 import quota_pb2 as wire

MONEY = bucket("budgets/b")
RATE = bucket("rateLimits/r", Kind.RATE)
SLOTS = bucket("rateLimits/s", Kind.SLOTS)


class Plane:
    """A table with a stream to an authority; a message takes no time unless a test says so."""

    def __init__(self, authority: FakeAuthority | None = None) -> None:
        self.now_ms = 1_000
        self.heard = Heard()
        self.authority = authority or FakeAuthority()
        self.table = LeaseTable(self.heard, self.now_ms)
        self.table.opened()

    def call(self, *needs: tuple[Bucket, int]) -> Reservation:
        reservation = Reservation([self.table.need(bucket, amount, self.now_ms) for bucket, amount in needs])
        self.table.reserve(reservation, self.now_ms)
        return reservation

    def converse(self, after_ms: int = 0) -> None:
        while (update := self.table.exchange.next_update(self.now_ms)) is not None:
            response = self.authority.answer(update)
            self.now_ms += after_ms
            self.table.take(response, self.now_ms)

    def held_call(self, *needs: tuple[Bucket, int]) -> Reservation:
        reservation = self.call(*needs)
        self.converse()
        assert reservation.state is State.HELD
        return reservation

    def settle(self, reservation: Reservation, actual: int) -> None:
        for need in reservation.needs:
            self.table.settle(need, actual, self.now_ms)

    def balance(self, one: Bucket) -> int:
        holding = self.table.holdings.find(one.id)
        assert holding is not None
        return holding.balance(self.now_ms)


def test_a_first_call_waits_for_one_message_and_later_ones_for_none() -> None:
    plane = Plane()
    first = plane.call((MONEY, 100))
    assert (first.state, plane.heard.urges) == (State.WAITING, 1)
    plane.converse()
    assert plane.heard.resolved_reservations == [first]
    plane.settle(first, 40)
    assert plane.call((MONEY, 60)).state is State.HELD


def test_nothing_is_held_of_one_bucket_while_another_is_waited_for() -> None:
    plane = Plane()
    plane.settle(plane.held_call((MONEY, 100)), 0)
    waiting = plane.call((MONEY, 100), (RATE, 1))
    assert waiting.state is State.WAITING
    assert plane.balance(MONEY) == 100
    assert plane.call((MONEY, 100)).state is State.HELD


def test_settling_twice_counts_once() -> None:
    plane = Plane()
    call = plane.held_call((MONEY, 100))
    plane.settle(call, 30)
    plane.settle(call, 30)
    assert plane.balance(MONEY) == 70


def test_a_cost_above_the_reserve_is_owed_by_the_next_ask() -> None:
    plane = Plane()
    call = plane.held_call((MONEY, 100))
    plane.settle(call, 150)
    plane.held_call((MONEY, 10))
    assert [ask.need for ask in plane.authority.asks if ask.need] == [100, 60]


def test_tokens_beyond_the_estimate_are_owed_and_what_is_left_of_it_comes_back_for_a_minute() -> None:
    plane = Plane(FakeAuthority(ttl_ms=600_000))
    call = plane.held_call((RATE, 100))
    plane.settle(call, 130)
    assert plane.balance(RATE) == -30
    call = plane.held_call((RATE, 100))
    held = plane.balance(RATE)
    plane.now_ms += 60_000
    plane.settle(call, 10)
    assert plane.balance(RATE) == held + 90
    call = plane.call((RATE, 90))
    plane.now_ms += 60_001
    plane.settle(call, 0)
    assert plane.balance(RATE) == held


def test_a_lease_holds_from_when_its_ask_was_sent() -> None:
    plane = Plane(FakeAuthority(ttl_ms=1_000))
    call = plane.call((MONEY, 100))
    plane.converse(after_ms=400)
    plane.settle(call, 0)
    plane.now_ms += 599
    assert plane.balance(MONEY) == 100
    plane.now_ms += 1
    assert plane.balance(MONEY) == 0


def test_a_part_of_a_rate_that_was_not_used_in_time_goes_back_and_is_not_used_later() -> None:
    plane = Plane(FakeAuthority(ttl_ms=4_000))
    call = plane.held_call((RATE, 100))
    plane.settle(call, 20)
    plane.now_ms += 5_000
    plane.held_call((RATE, 50))
    [old, _] = plane.authority.leases.values()
    assert (old.granted, old.returned) == (100, 80)


def test_a_refusal_is_remembered_for_what_is_as_large_and_not_for_less() -> None:
    plane = Plane(FakeAuthority(default_cap=100))
    refused = plane.call((MONEY, 150))
    plane.converse()
    assert refused.state is State.REFUSED
    assert refused.denial is not None
    assert (refused.denial.reason, refused.denial.remaining) == (Reason.EXHAUSTED, 100)
    asks = len(plane.authority.asks)
    assert plane.call((MONEY, 120)).state is State.REFUSED
    assert len(plane.authority.asks) == asks
    assert plane.held_call((MONEY, 100)).state is State.HELD


def test_calls_that_wait_are_served_in_order_as_far_as_it_goes() -> None:
    plane = Plane(FakeAuthority(default_cap=250))
    calls = [plane.call((RATE, 100)) for _ in range(4)]
    plane.converse()
    assert [call.state for call in calls] == [State.HELD, State.HELD, State.REFUSED, State.REFUSED]


def test_what_running_calls_of_a_budget_give_back_serves_those_that_wait() -> None:
    plane = Plane(FakeAuthority(default_cap=100))
    running = plane.held_call((MONEY, 100))
    waiting = plane.call((MONEY, 50))
    plane.converse()
    assert waiting.state is State.WAITING
    plane.settle(running, 10)
    assert plane.heard.resolved_reservations[-1] is waiting
    assert waiting.needs[0].admitted_ms == plane.now_ms


def test_a_crowd_is_bounded() -> None:
    plane = Plane()
    for _ in range(MAX_WAITING_PER_BUCKET):
        assert plane.call((MONEY, 1)).state is State.WAITING
    one_more = plane.call((MONEY, 1))
    assert one_more.denial is not None
    assert one_more.denial.reason is Reason.CROWDED


@pytest.mark.parametrize(
    ("on_unavailable", "state"), [(OnUnavailable.DENY, State.REFUSED), (OnUnavailable.ALLOW, State.HELD)]
)
def test_a_wait_ends_and_the_rule_says_how(on_unavailable: OnUnavailable, state: State) -> None:
    plane = Plane()
    call = plane.call((bucket("budgets/x", on_unavailable=on_unavailable), 10))
    plane.now_ms += WAIT_MS - 1
    plane.table.expire(plane.now_ms)
    assert call.state is State.WAITING
    plane.now_ms += 1
    plane.table.expire(plane.now_ms)
    assert call.state is state
    assert plane.table.waiting == 0


def test_what_was_never_received_is_asked_for_again_on_the_next_stream() -> None:
    plane = Plane()
    call = plane.call((MONEY, 100))
    update = plane.table.exchange.next_update(plane.now_ms)
    assert update is not None
    lost = plane.authority.answer(update)
    plane.table.lost(plane.now_ms)
    plane.authority.hello(plane.table.greet())
    plane.table.opened()
    assert plane.authority.available("budgets/b", MONEY.id) == 1_000
    plane.table.take(lost, plane.now_ms)
    assert call.state is State.WAITING, "an answer of the stream before is none"
    plane.converse()
    assert plane.heard.resolved_reservations == [call]


def test_per_call_leases_go_back_at_once() -> None:
    plane = Plane(FakeAuthority(per_call=True))
    urges = plane.heard.urges
    plane.settle(plane.held_call((MONEY, 100)), 30)
    plane.converse()
    assert plane.heard.urges > urges
    [part] = plane.authority.leases.values()
    assert (part.granted, part.returned) == (100, 70)


def test_recalls_take_what_no_call_has_reserved() -> None:
    plane = Plane()
    plane.settle(plane.held_call((MONEY, 100)), 0)
    call = plane.call((MONEY, 30))
    [(lease_id, part)] = plane.authority.leases.items()
    recall = wire.Recall(bucket_id=MONEY.id, lease_id=lease_id, keep_at_most=10)
    plane.table.take(wire.LeaseResponse(recalls=[recall]), plane.now_ms)
    plane.converse()
    assert (part.returned, plane.balance(MONEY)) == (60, 10)
    plane.settle(call, 30)


def test_idle_money_goes_back_and_slots_of_running_calls_are_renewed() -> None:
    plane = Plane(FakeAuthority(ttl_ms=15_000, refresh_ms=5_000))
    plane.settle(plane.held_call((MONEY, 100)), 10)
    running = plane.held_call((SLOTS, 1))
    for _ in range(300):
        plane.now_ms += 100
        plane.table.tick(plane.now_ms)
        plane.converse()
    money, slots = plane.authority.leases.values()
    assert (money.returned, money.is_final) == (90, True)
    assert (slots.outstanding, slots.is_final) == (1, False)
    holding = running.needs[0].holding
    assert holding.current is not None
    assert holding.current.expires_ms > plane.now_ms
    plane.settle(running, 0)


def test_rules_that_are_gone_give_back_what_they_hold_and_what_was_under_way() -> None:
    plane = Plane()
    plane.settle(plane.held_call((MONEY, 100)), 10)
    plane.call((MONEY, 200))
    update = plane.table.exchange.next_update(plane.now_ms)
    assert update is not None
    plane.table.retire(lambda one: False)
    plane.table.take(plane.authority.answer(update), plane.now_ms)
    plane.now_ms += WAIT_MS
    plane.table.expire(plane.now_ms)
    for reservation in plane.heard.resolved_reservations:
        plane.table.withdraw(reservation, plane.now_ms)
    plane.converse()
    assert sum(part.granted - part.returned for part in plane.authority.leases.values()) == 10


def test_a_process_forgets_buckets_that_nobody_uses() -> None:
    plane = Plane()
    for number in range(50):
        plane.settle(plane.held_call((bucket(f"budgets/{number}"), 10)), 1)
    for _ in range(800):
        plane.now_ms += 100
        plane.table.tick(plane.now_ms)
        plane.converse()
    assert len(plane.table.holdings) == 0
