"""What calls take of a rate without a lease is paid from the leases that come."""

import pytest

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.leases import LOST_GRACE_MS, WAIT_MS, LeaseTable
from dataplane.limits.reservations import Reason, Reservation, State, Way
from dataplane.rules import OnUnavailable
from tests.unit.dataplane.limits.buckets import Heard, bucket
from tollway.quota.v1 import quota_pb2 as wire

BURST = 20
NOW_MS = 10_000


def rate(policy: OnUnavailable) -> Bucket:
    return bucket("rateLimits/r", Kind.RATE, amount=BURST, burst=BURST, window_ms=1_000, on_unavailable=policy)


def call(table: LeaseTable, of: Bucket, now_ms: int) -> Reservation:
    reservation = Reservation([table.need(of, 1, now_ms)])
    table.reserve(reservation, now_ms)
    return reservation


def grant(table: LeaseTable, of: Bucket, total: int, now_ms: int) -> None:
    """Answers the update that is to be said now with a lease of `total` in all."""
    update = table.exchange.next_update(now_ms)
    assert update is not None
    answered(table, of, update.sequence, total, now_ms)


def answered(table: LeaseTable, of: Bucket, sequence: int, total: int, now_ms: int) -> None:
    answer = wire.Grant(
        bucket_id=of.id,
        lease_id=b"l" * 16,
        result=wire.GRANT_RESULT_GRANTED,
        granted_total=total,
        ttl_ms=4_000,
        refresh_ms=1_000,
    )
    table.take(wire.LeaseResponse(ack_sequence=sequence, grants=[answer]), now_ms)


@pytest.mark.parametrize("policy", [OnUnavailable.LOCAL_SHARE, OnUnavailable.ALLOW])
def test_a_grant_that_comes_late_does_not_come_on_top_of_what_was_let_through(policy: OnUnavailable) -> None:
    table, of = LeaseTable(Heard(), NOW_MS), rate(policy)
    table.opened()
    first = call(table, of, NOW_MS)
    asked = table.exchange.next_update(NOW_MS)
    assert asked is not None
    late_ms = NOW_MS + WAIT_MS
    table.expire(late_ms)
    assert first.state is State.HELD
    assert first.needs[0].way in (Way.LOCAL_SHARE, Way.UNLEASED)
    answered(table, of, asked.sequence, 2, late_ms)
    assert call(table, of, late_ms).needs[0].way is Way.LEASED
    assert call(table, of, late_ms).state is State.WAITING


@pytest.mark.parametrize("policy", [OnUnavailable.LOCAL_SHARE, OnUnavailable.ALLOW])
def test_a_debt_from_an_outage_can_be_paid(policy: OnUnavailable) -> None:
    """No ask is for more than the rate gives at once."""
    table, of = LeaseTable(Heard(), NOW_MS), rate(policy)
    table.opened()
    table.lost(NOW_MS)
    away_ms = NOW_MS + LOST_GRACE_MS
    states = {call(table, of, away_ms).state for _ in range(BURST)}
    assert states == {State.HELD}
    table.opened()
    waiting = call(table, of, away_ms)
    asked = 0
    while waiting.state is State.WAITING:
        update = table.exchange.next_update(away_ms)
        assert update is not None
        [ask] = update.asks
        assert 0 < ask.need <= BURST
        asked += ask.need
        assert asked <= 2 * BURST
        answer = wire.Grant(
            bucket_id=of.id,
            lease_id=b"l" * 16,
            result=wire.GRANT_RESULT_GRANTED,
            granted_total=asked,
            ttl_ms=4_000,
            refresh_ms=1_000,
        )
        table.take(wire.LeaseResponse(ack_sequence=update.sequence, grants=[answer]), away_ms)
    assert waiting.needs[0].way is Way.LEASED
    assert asked == BURST + 1


def test_slots_of_an_answer_that_is_late_are_not_taken_from_a_share() -> None:
    """Somebody else may have got them meanwhile; while the control plane is away there is nobody to give them."""
    slots = bucket("rateLimits/s", Kind.SLOTS, amount=8, on_unavailable=OnUnavailable.LOCAL_SHARE)
    table = LeaseTable(Heard(), NOW_MS)
    table.opened()
    late = call(table, slots, NOW_MS)
    table.expire(NOW_MS + WAIT_MS)
    assert late.state is State.REFUSED
    assert late.denial is not None
    assert late.denial.reason is Reason.UNAVAILABLE
    table.lost(NOW_MS)
    assert call(table, slots, NOW_MS + WAIT_MS + LOST_GRACE_MS).needs[0].way is Way.LOCAL_SHARE


def test_a_control_plane_that_has_not_taken_the_hello_is_away() -> None:
    """As while its database is: each stream ends before it is open."""
    slots = bucket("rateLimits/s", Kind.SLOTS, amount=8, on_unavailable=OnUnavailable.LOCAL_SHARE)
    table = LeaseTable(Heard(), NOW_MS)
    table.greet()
    held = call(table, slots, NOW_MS + LOST_GRACE_MS)
    assert (held.state, held.needs[0].way) == (State.HELD, Way.LOCAL_SHARE)


@pytest.mark.parametrize(("fleet", "let_through"), [(1, 4), (2, 2), (4, 1), (5, 0)])
def test_without_a_control_plane_slots_are_shared_by_the_fleet(fleet: int, let_through: int) -> None:
    slots = bucket("rateLimits/s", Kind.SLOTS, amount=4, on_unavailable=OnUnavailable.LOCAL_SHARE)
    table = LeaseTable(Heard(), NOW_MS)
    table.take(wire.LeaseResponse(fleet=fleet), NOW_MS)
    away_ms = NOW_MS + LOST_GRACE_MS
    states = [call(table, slots, away_ms).state for _ in range(5)]
    assert states.count(State.HELD) == let_through


def test_slots_that_were_taken_without_a_lease_count_against_the_next_one() -> None:
    slots = bucket("rateLimits/s", Kind.SLOTS, amount=4, on_unavailable=OnUnavailable.LOCAL_SHARE)
    table = LeaseTable(Heard(), NOW_MS)
    away_ms = NOW_MS + LOST_GRACE_MS
    assert {call(table, slots, away_ms).state for _ in range(3)} == {State.HELD}
    table.opened()
    waiting = call(table, slots, away_ms)
    update = table.exchange.next_update(away_ms)
    assert update is not None
    assert update.asks[0].need == 4
    answered(table, slots, update.sequence, 4, away_ms)
    assert waiting.state is State.HELD
    assert call(table, slots, away_ms).state is State.WAITING


def test_a_share_of_a_rate_goes_on_from_what_was_left_of_the_whole() -> None:
    """Half of it was left a moment ago: half a window's worth, of the fleet's four parts, is there at once."""
    of = bucket("rateLimits/r", Kind.RATE, amount=100, burst=100, on_unavailable=OnUnavailable.LOCAL_SHARE)
    table = LeaseTable(Heard(), NOW_MS)
    table.opened()
    table.take(wire.LeaseResponse(fleet=4), NOW_MS)
    call(table, of, NOW_MS)
    update = table.exchange.next_update(NOW_MS)
    assert update is not None
    refused = wire.Grant(bucket_id=of.id, result=wire.GRANT_RESULT_EXHAUSTED, deny_ms=1, limit=100, remaining=50)
    table.take(wire.LeaseResponse(ack_sequence=update.sequence, grants=[refused]), NOW_MS)
    table.lost(NOW_MS)
    away_ms = NOW_MS + LOST_GRACE_MS + 1_000
    states = [call(table, of, away_ms).state for _ in range(50)]
    assert states.count(State.HELD) in (12, 13)
