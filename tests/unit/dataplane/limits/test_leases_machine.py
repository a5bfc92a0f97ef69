"""The lease table under any order of calls, answers, losses and time, against what a small authority counts."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from dataplane.limits.buckets import Kind
from dataplane.limits.leases import WAIT_MS, LeaseTable
from dataplane.limits.reservations import Need, Reservation, State, Way
from tests.fakes.quota import FakeAuthority
from tests.unit.dataplane.limits.buckets import Heard, bucket
from tollway.quota.v1 import quota_pb2 as wire

BUCKETS = (bucket("budgets/a"), bucket("budgets/b"), bucket("rateLimits/s", Kind.SLOTS))
AMOUNTS = st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 1))


class LeaseMachine(RuleBasedStateMachine):
    """The stream delivers in order; it may be lost with everything that is under way on it."""

    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000
        self.heard = Heard()
        self.table = LeaseTable(self.heard, self.now_ms)
        self.authority = FakeAuthority(caps={"rateLimits/s": 5}, is_generous=True)
        self.answers: list[wire.LeaseResponse] = []
        self.reservations: list[Reservation] = []
        self.connect()

    def connect(self) -> None:
        self.answers.clear()
        self.authority.hello(self.table.greet())
        self.table.opened()

    @rule(target=waiting, amounts=AMOUNTS)
    def call(self, amounts: tuple[int, int, int]) -> Reservation:
        pairs = zip(BUCKETS, amounts, strict=True)
        needs = [self.table.need(bucket, amount, self.now_ms) for bucket, amount in pairs]
        reservation = Reservation(needs)
        self.table.reserve(reservation, self.now_ms)
        self.reservations.append(reservation)
        return reservation

    @rule(reservation=waiting, part=st.integers(0, 100))
    def settle(self, reservation: Reservation, part: int) -> None:
        """A call ends; what it cost is booked some time later, here at once."""
        if reservation.state is not State.HELD:
            return
        for need in reservation.needs:
            actual = need.amount * part // 100
            if not need.is_settled and need.holding.bucket.kind is Kind.BUDGET:
                self.authority.book(need.holding.bucket.id, need.lease_id, actual)
            self.table.settle(need, actual, self.now_ms)

    @rule(reservation=waiting)
    def leave(self, reservation: Reservation) -> None:
        """A client leaves while its call waits."""
        if reservation.state is State.WAITING:
            self.table.withdraw(reservation, self.now_ms)

    @rule()
    def send(self) -> None:
        if self.table.is_connected:
            update = self.table.exchange.next_update(self.now_ms)
            if update is not None:
                self.answers.append(self.authority.answer(update))

    @rule()
    def hear(self) -> None:
        if self.answers:
            self.table.take(self.answers.pop(0), self.now_ms)

    @rule()
    def converse(self) -> None:
        """A question and its answer, as it mostly goes."""
        self.send()
        while self.answers:
            self.hear()

    @rule()
    def lose(self) -> None:
        if self.table.is_connected:
            self.table.lost(self.now_ms)
            self.answers.clear()
        else:
            self.connect()

    @rule(ms=st.sampled_from((1, 50, 250, 1_000, 12_000, 70_000)))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.table.tick(self.now_ms)

    @rule(kept=st.integers(0, 50))
    def recall(self, kept: int) -> None:
        recalls = [
            wire.Recall(bucket_id=part.bucket_id, lease_id=lease_id, keep_at_most=kept)
            for lease_id, part in self.authority.leases.items()
        ]
        self.table.take(wire.LeaseResponse(recalls=recalls), self.now_ms)

    @rule(is_known=st.booleans())
    def configure(self, is_known: bool) -> None:
        self.table.retire(lambda bucket: is_known or bucket.rule != "budgets/a")

    @invariant()
    def never_over_the_cap(self) -> None:
        for one in BUCKETS:
            taken = sum(need.amount for need in self._running(one.rule))
            if one.kind is Kind.BUDGET:
                taken += self.authority.spent.get(one.id, 0)
            assert taken <= self.authority.caps.get(one.rule, self.authority.default_cap)

    @invariant()
    def all_or_nothing(self) -> None:
        for reservation in self.reservations:
            ways = {need.way for need in reservation.needs}
            if reservation.state is State.HELD:
                assert ways == {Way.LEASED}
            elif reservation.state is not State.WITHDRAWN:
                assert ways == {Way.NOT_YET}
            assert (reservation.denial is not None) == (reservation.state is State.REFUSED)

    @invariant()
    def every_unit_is_somewhere(self) -> None:
        for holding in self.table.holdings:
            reserved = sum(need.amount for need in self._running(holding.bucket.rule) if need.lease is not None)
            assert holding.reserved == reserved
            for lease in holding.leases:
                assert lease.free >= 0
                assert lease.granted <= self.authority.leases[lease.id].granted

    @invariant()
    def nobody_waits_beyond_the_deadline(self) -> None:
        waiting = [r for r in self.reservations if r.state is State.WAITING]
        assert len(waiting) == self.table.waiting
        assert all(reservation.deadline_ms <= self.now_ms + WAIT_MS for reservation in waiting)

    def _running(self, rule_name: str) -> list[Need]:
        return [
            need
            for reservation in self.reservations
            if reservation.state is State.HELD
            for need in reservation.needs
            if need.holding.bucket.rule == rule_name and not need.is_settled
        ]

    def teardown(self) -> None:
        """Once all calls have ended, everything goes back but what was spent."""
        for reservation in self.reservations:
            self.table.withdraw(reservation, self.now_ms)
        if not self.table.is_connected:
            self.connect()
        for _ in range(50):
            self.table.return_all()
            self.send()
            self.hear()
        assert self.table.exchange.is_settled
        assert not any(holding.leases for holding in self.table.holdings)
        assert not any(part.outstanding for part in self.authority.leases.values())
        assert all(part.is_final or not part.outstanding for part in self.authority.leases.values())


LeaseMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLeaseMachine = LeaseMachine.TestCase
