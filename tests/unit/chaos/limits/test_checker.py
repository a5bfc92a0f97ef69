"""The checker of limits finds every fault that is planted, and nothing where all is well."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.evidence import ClientEnding, Denial, Evidence, LedgerReading, Observation, ProviderCall
from tests.chaos.limits.checker import judge_limits
from tests.chaos.limits.evidence import BucketSums, BudgetCap, Counted, LimitEvidence, RateCap, Sample, SlotCap
from tests.unit.chaos.planting import TEAM, line, request
from tollway.kernel.usage import SettlementState

RULE = "budgets/b"
COST = 15_000
BUDGET = BudgetCap(RULE, TEAM, 3 * COST, reservation_nano_usd=COST + 1, is_used_up=True)
RATE = RateCap("rateLimits/r", TEAM, Counted.REQUESTS, amount=60, window_ms=60_000, burst=2)
SLOTS = SlotCap("rateLimits/s", TEAM, 2)
REFUSED = Observation("c9", TEAM, ClientEnding.REFUSED, 402, denial=Denial("budget_exceeded", False, None))


def call(number: int, began_ms: int, ended_ms: int, **more: Any) -> ProviderCall:
    return request(f"c{number}", "echo", (3, 3), began_ms=began_ms, ended_ms=ended_ms, **more)


CALLS = (call(1, 0, 500), call(2, 100, 600), call(3, 600, 900))
ENTRIES = tuple(line(number, f"c{number}", "echo", (3, 3)) for number in (1, 2, 3))
EVIDENCE = Evidence((REFUSED,), CALLS, LedgerReading(ENTRIES, {}))
SAMPLE = Sample(300, {RULE: 2 * COST}, {RULE: BucketSums(COST, 2 * COST)})
AT_REST = Sample(9_000, {RULE: 3 * COST}, {RULE: BucketSums(3 * COST, 0)})
LIMITS = LimitEvidence(
    (BUDGET, RATE, SLOTS), {f"c{number}": TEAM for number in range(100)}, (SAMPLE,), AT_REST, held=(), data_planes=2
)


def violated(evidence: Evidence = EVIDENCE, **limits: Any) -> set[str]:
    return {v.invariant for v in judge_limits(evidence, replace(LIMITS, **limits)) if not v.holds}


def test_limits_that_hold_have_no_violations() -> None:
    assert violated() == set()
    assert {v.invariant for v in judge_limits(EVIDENCE, LIMITS)} == {"B1", "B2", "B3", "L4", "Q1", "C1", "Q2", "E1"}


def test_a_passed_budget_is_found_whatever_the_ledger_says() -> None:
    assert "B1" in violated(replace(EVIDENCE, provider_calls=(*CALLS, call(4, 900, 950))))
    overrun = (replace(BUDGET, overrun_nano_usd=COST), RATE, SLOTS)
    assert "B1" not in violated(replace(EVIDENCE, provider_calls=(*CALLS, call(4, 900, 950))), caps=overrun)


def test_money_that_is_left_behind_is_found() -> None:
    richer = replace(BUDGET, amount_nano_usd=5 * COST + 2)
    assert violated(caps=(richer,)) == {"B2"}
    assert violated(caps=(replace(richer, amount_nano_usd=5 * COST + 1),)) == set()


def test_half_a_percent_of_a_large_budget_may_be_left() -> None:
    large = replace(BUDGET, reservation_nano_usd=3 * COST, calls=5_000)
    assert violated(caps=(replace(large, amount_nano_usd=3 * COST + 200),)) == set()
    assert violated(caps=(replace(large, amount_nano_usd=3 * COST + 300),)) == {"B2"}


def test_spending_that_is_not_the_ledgers_is_found() -> None:
    assert violated(at_rest=replace(AT_REST, buckets={RULE: BucketSums(3 * COST - 1, 1)})) == {"B3"}
    assert violated(at_rest=None) == {"B2", "B3"}


def test_what_was_not_reported_may_be_charged_at_more_than_its_estimate_and_never_at_less() -> None:
    guessed = replace(ENTRIES[0], state=SettlementState.ESTIMATED, cost_nano_usd=COST // 3)
    estimated = replace(EVIDENCE, ledger=LedgerReading((guessed, *ENTRIES[1:]), {}))
    assert violated(estimated) == set()
    less = replace(AT_REST, served_nano_usd={}, buckets={RULE: BucketSums(2 * COST, COST)})
    assert violated(estimated, at_rest=less, caps=(replace(BUDGET, is_used_up=False),)) == {"B3"}


def test_charges_that_do_not_add_up_are_found() -> None:
    assert violated(charged={RULE: 3 * COST}) == set()
    assert violated(charged={RULE: 3 * COST + 1}) == {"B3"}
    assert violated(charged={}) == {"B3"}


@pytest.mark.parametrize(
    ("served", "bucket"),
    [(2 * COST, BucketSums(COST, COST - 1)), (COST, BucketSums(2 * COST, COST + 1)), (COST, None)],
)
def test_what_is_not_covered_at_a_look_is_found(served: int, bucket: BucketSums | None) -> None:
    buckets = {} if bucket is None else {RULE: bucket}
    assert violated(samples=(Sample(300, {RULE: served}, buckets),)) == {"L4"}


@pytest.mark.parametrize(("apart_ms", "promised"), [(900, 60 + 2 + 1), (0, 5 + 2 + 1)])
def test_a_rate_that_is_passed_is_found(apart_ms: int, promised: int) -> None:
    """In a whole window, and in the parts of it that a short campaign sees."""
    many = tuple(call(n, n * apart_ms, n * apart_ms + 1) for n in range(promised))
    assert violated(replace(EVIDENCE, provider_calls=many), caps=(RATE,)) == set()
    assert violated(replace(EVIDENCE, provider_calls=(*many, call(99, 100, 101))), caps=(RATE,)) == {"Q1"}


def test_calls_that_are_tried_again_count_once() -> None:
    again = tuple(replace(call(n % 8, n, n + 1), call=f"p-{n}") for n in range(120))
    assert violated(replace(EVIDENCE, provider_calls=again), caps=(RATE,)) == set()


def test_tokens_are_counted_as_the_provider_counts_them() -> None:
    tokens = replace(RATE, counted=Counted.TOKENS, burst=12)
    assert violated(caps=(tokens,)) == set()
    assert violated(caps=(replace(tokens, burst=11),)) == {"Q1"}


def test_a_rate_that_is_not_used_is_found() -> None:
    paced = tuple(call(n, 1_000 * max(0, n - 2), 0) for n in range(60))
    busy = replace(RATE, is_saturated=True)
    assert violated(replace(EVIDENCE, provider_calls=paced), caps=(busy,)) == set()
    fewer = tuple(c for c in paced if c.began_ms % 10_000)
    wanting = {f"c{number}": TEAM for number in range(200)}
    assert violated(replace(EVIDENCE, provider_calls=fewer), caps=(busy,), teams=wanting) == {"Q1"}


def test_a_rate_that_was_hardly_asked_for_is_not_said_to_be_unused() -> None:
    few = tuple(call(n, 2_000 * n, 0) for n in range(30))
    evidence, busy = replace(EVIDENCE, provider_calls=few), replace(RATE, is_saturated=True)
    [paced] = [v for v in judge_limits(evidence, replace(LIMITS, caps=(busy,))) if v.invariant == "Q1"]
    assert paced.holds
    assert "needs" in paced.missing


def test_too_many_at_once_are_found() -> None:
    assert violated(replace(EVIDENCE, provider_calls=(*CALLS, call(4, 400, 700)))) >= {"C1"}


def test_a_call_whose_client_left_is_over_when_the_provider_could_notice() -> None:
    left = call(4, 400, 700 + 100, ending="aborted"), call(5, 650, 700), call(6, 650, 700)
    assert violated(replace(EVIDENCE, provider_calls=left), caps=(SLOTS,)) == set()
    running = replace(left[0], ended_ms=851), *left[1:]
    assert violated(replace(EVIDENCE, provider_calls=running), caps=(SLOTS,)) == {"C1"}


def test_what_is_still_held_is_found() -> None:
    assert violated(held=("a lease holds 1",)) == {"Q2"}


@pytest.mark.parametrize(
    ("status", "denial"),
    [
        (402, Denial("budget_exceeded", None, None)),
        (402, Denial("budget_exceeded", True, None)),
        (429, Denial("rate_limit_exceeded", None, None)),
        (503, Denial("quota_unavailable", None, None)),
    ],
)
def test_a_refusal_that_does_not_tell_when_to_try_again_is_found(status: int, denial: Denial) -> None:
    silent = replace(REFUSED, status=status, denial=denial)
    assert violated(replace(EVIDENCE, observations=(silent,))) == {"E1"}
