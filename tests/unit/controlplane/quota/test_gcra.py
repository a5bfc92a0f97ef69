"""GCRA against a bucket of exact fractions: never more than the limit, never less than a unit below it."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controlplane.quota.gcra import Rate, available, emptied_at, give, take, wait_us

rates = st.builds(
    Rate,
    amount=st.integers(1, 10_000_000),
    window_us=st.integers(1_000_000, 31 * 86_400_000_000),
    burst=st.integers(1, 10_000_000),
)


def _rounding(rate: Rate) -> int:
    """Units that a microsecond brings, and one."""
    return 2 + rate.amount // rate.window_us


times = st.integers(0, 2**55)


@given(rates, times)
def test_a_bucket_without_history_is_full(rate: Rate, now_us: int) -> None:
    assert available(rate, 0, now_us) == rate.burst
    assert take(rate, 0, now_us, rate.burst + _rounding(rate)) is None


@given(rates, times)
def test_a_bucket_that_was_emptied_has_nothing(rate: Rate, now_us: int) -> None:
    assert available(rate, emptied_at(rate, now_us), now_us) == 0


@given(rates, times, times, st.data())
def test_what_is_available_can_be_taken_and_no_more(rate: Rate, tat_us: int, now_us: int, data: st.DataObject) -> None:
    there = available(rate, tat_us, now_us)
    units = data.draw(st.integers(1, rate.burst))
    assert (take(rate, tat_us, now_us, units) is not None) >= (units <= there)
    if units >= there + _rounding(rate):
        assert take(rate, tat_us, now_us, units) is None


@given(rates, times, times, st.data())
def test_what_is_waited_for_is_there_then_and_not_before(
    rate: Rate, tat_us: int, now_us: int, data: st.DataObject
) -> None:
    units = data.draw(st.integers(1, rate.burst))
    wait = wait_us(rate, tat_us, now_us, units)
    assert take(rate, tat_us, now_us + wait, units) is not None
    if wait:
        assert take(rate, tat_us, now_us + wait - 1, units) is None


@given(rates, times, times, st.integers(0, 10_000_000))
def test_giving_back_never_makes_more_than_full(rate: Rate, tat_us: int, now_us: int, units: int) -> None:
    assert available(rate, give(rate, tat_us, now_us, units), now_us) <= rate.burst


@given(st.integers(1, 1000), st.integers(1_000_000, 86_400_000_000), times)
def test_a_burst_can_be_taken_one_by_one(amount: int, window_us: int, now_us: int) -> None:
    rate, tat_us = Rate(amount, window_us, amount), 0
    admitted = 0
    while admitted <= amount and (after_us := take(rate, tat_us, now_us, 1)) is not None:
        tat_us, admitted = after_us, admitted + 1
    assert admitted == amount if amount * amount <= window_us else admitted <= amount


class GcraMachine(RuleBasedStateMachine):
    """A bucket of exact fractions beside it: what GCRA admits, the model has, but for one unit of rounding."""

    rate = Rate(amount=7, window_us=1_000_000, burst=5)

    def __init__(self) -> None:
        super().__init__()
        self.tat_us = 0
        self.now_us = 1_000_000
        self.level = Fraction(self.rate.burst)
        self.taken = 0

    @rule(step_us=st.integers(1, 400_000))
    def pass_time(self, step_us: int) -> None:
        self.now_us += step_us
        self.level = min(Fraction(self.rate.burst), self.level + Fraction(step_us * 7, 1_000_000))

    @rule(units=st.integers(1, 6))
    def take(self, units: int) -> None:
        after_us = take(self.rate, self.tat_us, self.now_us, units)
        slack = Fraction(1, 1000)
        if after_us is None:
            assert self.level < units + slack
            return
        assert self.level + slack >= units
        self.level -= units
        self.taken += units
        self.tat_us = after_us

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        units = data.draw(st.integers(1, self.taken))
        self.tat_us = give(self.rate, self.tat_us, self.now_us, units)
        self.level = min(Fraction(self.rate.burst), self.level + units)
        self.taken -= units

    @invariant()
    def never_more_than_the_model(self) -> None:
        assert available(self.rate, self.tat_us, self.now_us) <= self.level + Fraction(1, 1000)


TestGcraMachine = GcraMachine.TestCase
