"""What each rule may do while control planes are away."""

import random
from collections import Counter

import pytest

from tests.chaos.limits.outage import PHASES, PRESSED, Trickle, judge_outage
from tests.chaos.load import Caller, Kind, Load

CALLER = Caller("teams/a", "twk_x")
DENIED = {"rate deny": {"rates are over", "budgets are over"}, "budget deny": {"budgets are over"}}


async def _nowhere() -> str:
    raise AssertionError("nothing is sent")


def test_a_share_that_is_pressed_lets_no_more_through_than_the_rate() -> None:
    pressed = trickle(PRESSED, rates_are_over="served " * 14)
    assert judge_outage([pressed], is_budget_over=True, over_s=5.0).holds
    pressed = trickle(PRESSED, rates_are_over="served " * 15)
    assert not judge_outage([pressed], is_budget_over=True, over_s=5.0).holds


def trickle(name: str, **seen: str) -> Trickle:
    load = Load((CALLER,), (Kind(1, "sim/echo"),), random.Random(1), _nowhere, rate_per_s=1)
    denied = DENIED.get(name, set())
    usual = {phase: Counter({"quota_unavailable" if phase in denied else "served": 9}) for phase in PHASES}
    given = {phase.replace("_", " "): Counter(words.split()) for phase, words in seen.items()}
    return Trickle(name, load, CALLER, usual | {"": Counter({"broken": 1})} | given)


@pytest.mark.parametrize("name", ["rate deny", "rate allow", "rate local_share", "budget deny", "budget allow"])
def test_a_rule_that_does_what_it_says_holds(name: str) -> None:
    assert judge_outage([trickle(name)], is_budget_over=True, over_s=5.0).holds


@pytest.mark.parametrize(
    ("name", "phase", "word"),
    [
        ("rate deny", "leases_hold", "served rate_limit_exceeded"),
        ("rate deny", "one_is_away", "served quota_unavailable"),
        ("rate deny", "rates_are_over", "quota_unavailable served"),
        ("rate allow", "rates_are_over", "served rate_limit_exceeded"),
        ("budget deny", "rates_are_over", "quota_unavailable"),
        ("budget deny", "budgets_are_over", "served"),
        ("budget allow", "budgets_are_over", "quota_unavailable"),
        ("rate local_share", "both_are_back", "broken"),
    ],
)
def test_a_rule_that_does_something_else_is_found(name: str, phase: str, word: str) -> None:
    assert not judge_outage([trickle(name, **{phase: word})], is_budget_over=True, over_s=5.0).holds


def test_a_phase_without_calls_is_found() -> None:
    silent = trickle("rate allow")
    del silent.seen["rates are over"]
    assert not judge_outage([silent], is_budget_over=True, over_s=5.0).holds
    early = trickle("rate allow")
    del early.seen["budgets are over"]
    assert judge_outage([early], is_budget_over=False, over_s=5.0).holds
