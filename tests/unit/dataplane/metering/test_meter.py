"""What an attempt is billed, by how its answer ended and what was reported."""

import re

import pytest

from dataplane.call import COUNT_TOKENS, Attempt, Endpoint
from dataplane.dialects.base import Frame
from dataplane.metering.meter import Meter, estimate_bound, settle_failed
from tests.fakes.outcomes import SNAPSHOT, make_attempt, make_call
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.pricing import Price, Rate
from tollway.kernel.usage import Meter as UsageMeter
from tollway.kernel.usage import SettlementState, Usage

RATES = (Rate(UsageMeter.INPUT, 10**9), Rate(UsageMeter.OUTPUT, 2 * 10**9), Rate(UsageMeter.CACHE_READ, 10**8))
PRICED = SNAPSHOT.__class__(
    epoch="e", revision=1, prices=PriceIndex((Price("prices/all", 1, "", re.compile(".*"), RATES),))
)
BODY = {"messages": [{"role": "user", "content": "x" * 400}]}
CALL = make_call(snapshot=PRICED, body=BODY)
TEXT = Frame(b"{}", text_bytes=40, deltas=3)


def settled(*frames: Frame, is_complete: bool) -> Attempt:
    meter = Meter()
    meter.observe(frames)
    if is_complete:
        meter.complete()
    attempt = make_attempt(usage=Usage(), state=SettlementState.NOT_BILLED, cost_nano_usd=0)
    meter.settle(CALL, attempt)
    return attempt


def test_report_of_a_complete_answer_is_the_truth() -> None:
    attempt = settled(TEXT, Frame(b"{}", usage=Usage(input=7, output=5)), is_complete=True)
    assert (attempt.state, attempt.usage) == (SettlementState.REPORTED, Usage(input=7, output=5))
    assert attempt.cost_nano_usd == 17_000


def test_report_of_an_answer_that_broke_off_is_a_lower_bound() -> None:
    attempt = settled(Frame(b"{}", usage=Usage(input=3, cache_read=90, output=2)), TEXT, is_complete=False)
    assert attempt.state is SettlementState.PARTIAL
    assert attempt.usage == Usage(input=3, cache_read=90, output=11)


@pytest.mark.parametrize("is_complete", [True, False])
def test_report_before_text_is_a_lower_bound_however_the_answer_ends(is_complete: bool) -> None:
    report = Frame(b"{}", usage=Usage(input=3, output=2), is_usage_only=True)
    attempt = settled(report, TEXT, is_complete=is_complete)
    assert (attempt.state, attempt.usage) == (SettlementState.PARTIAL, Usage(input=3, output=11))


def test_report_after_the_last_text_is_the_truth_though_the_answer_broke_off() -> None:
    report = Frame(b"{}", usage=Usage(input=3, output=2), is_usage_only=True)
    attempt = settled(report, TEXT, report, Frame(b"{}"), is_complete=False)
    assert (attempt.state, attempt.usage) == (SettlementState.REPORTED, Usage(input=3, output=2))


def test_report_above_the_estimate_stays() -> None:
    attempt = settled(TEXT, Frame(b"{}", usage=Usage(input=3, output=500, reasoning=400)), is_complete=False)
    assert (attempt.state, attempt.usage) == (
        SettlementState.PARTIAL,
        Usage(input=3, output=500, reasoning=400),
    )


@pytest.mark.parametrize("usage", [None, Usage()])
@pytest.mark.parametrize("is_complete", [True, False])
def test_text_without_usage_is_estimated(usage: Usage | None, is_complete: bool) -> None:
    attempt = settled(TEXT, Frame(b"{}", usage=usage), is_complete=is_complete)
    assert attempt.state is SettlementState.ESTIMATED
    assert attempt.usage.input >= 100
    assert attempt.usage.output == 11


def test_zero_output_is_not_believed_where_text_came() -> None:
    attempt = settled(TEXT, Frame(b"{}", usage=Usage(input=7)), is_complete=True)
    assert (attempt.state, attempt.usage) == (SettlementState.PARTIAL, Usage(input=7, output=11))


def test_zero_is_believed_where_nothing_was_generated() -> None:
    attempt = settled(Frame(b"{}", usage=Usage()), is_complete=True)
    assert (attempt.state, attempt.usage) == (SettlementState.REPORTED, Usage())


def test_embedding_has_no_output_even_in_an_estimate() -> None:
    call = make_call(
        snapshot=PRICED,
        endpoint=Endpoint("embeddings", "/v1/embeddings", "embeddings", can_stream=False),
        body={"input": "x" * 400},
    )
    attempt, meter = make_attempt(), Meter()
    meter.observe([Frame(b"{}")])
    meter.complete()
    meter.settle(call, attempt)
    assert (attempt.state, attempt.usage) == (SettlementState.ESTIMATED, Usage(input=100))


@pytest.mark.parametrize(("may_have_run", "state"), [(True, "estimated"), (False, "not_billed")])
def test_failed_attempt_costs_its_input_only_if_it_may_have_run(may_have_run: bool, state: str) -> None:
    attempt = make_attempt(usage=Usage(), state=SettlementState.NOT_BILLED, cost_nano_usd=0, may_have_run=may_have_run)
    settle_failed(CALL, attempt)
    assert attempt.state.word == state
    assert (attempt.usage.input > 0, attempt.usage.output) == (may_have_run, 0)


@pytest.mark.parametrize(
    ("frames", "may_have_run", "state", "usage"),
    [
        ([Frame(b"{}", usage=Usage(input=7))], True, "partial", Usage(input=7)),
        ([Frame(b"{}", usage=Usage(input=7))], False, "not_billed", Usage()),
        (
            [Frame(b"{}", usage=Usage(input=7, output=1), is_usage_only=True)],
            False,
            "partial",
            Usage(input=7, output=1),
        ),
        ([Frame(b"{}", usage=Usage(), is_usage_only=True)], False, "not_billed", Usage()),
    ],
)
def test_failed_attempt_costs_what_it_was_said_to_cost(
    frames: list[Frame], may_have_run: bool, state: str, usage: Usage
) -> None:
    attempt = make_attempt(usage=Usage(), state=SettlementState.NOT_BILLED, cost_nano_usd=0, may_have_run=may_have_run)
    meter = Meter()
    meter.observe(frames)
    meter.note_failure(attempt)
    settle_failed(CALL, attempt)
    assert (attempt.state.word, attempt.usage) == (state, usage)


TIERED = SNAPSHOT.__class__(
    epoch="e",
    revision=1,
    prices=PriceIndex(
        (Price("prices/all", 1, "", re.compile(".*"), (*RATES, Rate(UsageMeter.INPUT, 10**8, 0, "flex"))),)
    ),
)


@pytest.mark.parametrize(("reported", "tier", "cost"), [("flex", "flex", 10_700), ("", "", 17_000), (None, "", 17_000)])
def test_the_class_of_service_that_the_answer_says_prices_it(reported: str | None, tier: str, cost: int) -> None:
    meter = Meter()
    meter.observe([Frame(b"{}", text_bytes=4, deltas=1, service_tier=reported), Frame(b"{}", usage=Usage(7, output=5))])
    meter.complete()
    attempt = make_attempt(usage=Usage(), cost_nano_usd=0)
    meter.settle(make_call(snapshot=TIERED, body=BODY), attempt)
    assert (attempt.service_tier, attempt.cost_nano_usd) == (tier, cost)


def test_to_be_told_how_large_a_call_would_be_costs_nothing() -> None:
    endpoint = Endpoint("count_tokens", "/v1/messages/count_tokens", COUNT_TOKENS, False, format="anthropic")
    call, attempt = make_call(endpoint=endpoint, body=BODY), make_attempt()
    attempt.may_have_run = True
    settle_failed(call, attempt)
    assert (attempt.state, attempt.cost_nano_usd) == (SettlementState.NOT_BILLED, 0)
    estimate_bound(call, attempt, Usage(input=9))
    assert (attempt.state, attempt.cost_nano_usd) == (SettlementState.NOT_BILLED, 0)
