"""Headers, messages and bounds of cost."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.limits.buckets import Kind
from dataplane.limits.costs import CostBounds
from dataplane.limits.headers import format_reset, rate_headers
from dataplane.limits.holding import Holding, Standing
from dataplane.limits.local_share import LocalShare
from dataplane.limits.refusals import refusal, too_small
from dataplane.limits.reservations import Denial, Reason
from tests.unit.dataplane.limits.buckets import bucket
from tollway.kernel.pricing import Price, Rate
from tollway.kernel.usage import Meter, Usage

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TOKENS = st.integers(0, 1_000_000)


@pytest.mark.parametrize(
    ("reset_ms", "text"),
    [(0, "0ms"), (12, "12ms"), (1_000, "1s"), (1_001, "2s"), (360_000, "6m0s"), (3_600_000, "1h0m0s")],
)
def test_resets_read_as_those_of_openai(reset_ms: int, text: str) -> None:
    assert format_reset(reset_ms) == text


def test_the_tightest_limit_shows() -> None:
    wide, narrow, tokens = (
        Holding(bucket(f"rateLimits/{unit}{amount}", Kind.RATE, unit=unit, amount=amount, burst=amount), 0)
        for unit, amount in (("requests", 1_000), ("requests", 600), ("tokens", 5_000))
    )
    wide.standing, narrow.standing = Standing(remaining=900, seen_ms=1), Standing(remaining=60, seen_ms=1)
    tokens.standing = Standing(remaining=0, seen_ms=1)
    headers = rate_headers([wide, narrow, tokens], 30_001)
    assert headers["x-ratelimit-limit-requests"] == "600"
    assert headers["x-ratelimit-remaining-requests"] == "360"
    assert headers["x-ratelimit-reset-requests"] == "24s"
    assert headers["x-ratelimit-remaining-tokens"] == "2500"
    assert rate_headers([Holding(bucket(), 0)], 0) == {}


def test_what_is_left_is_of_what_a_rate_gives_at_once() -> None:
    """600 a minute, of which 60 at once: a second after 30 were left, 40 are, and two seconds later all are there."""
    rate = Holding(bucket("rateLimits/r", Kind.RATE, unit="requests", amount=600, burst=60), 0)
    rate.standing = Standing(remaining=30, seen_ms=1)
    headers = rate_headers([rate], 1_001)
    assert [headers[f"x-ratelimit-{word}-requests"] for word in ("limit", "remaining", "reset")] == ["600", "40", "2s"]
    assert rate_headers([rate], 60_001)["x-ratelimit-remaining-requests"] == "60"


def test_rates_of_which_nothing_is_known_and_audited_ones_are_in_no_header() -> None:
    unknown, audited = (
        Holding(bucket(f"rateLimits/{n}", Kind.RATE, unit="requests", is_enforced=n == 0), 0) for n in (0, 1)
    )
    audited.standing = Standing(remaining=0, seen_ms=1)
    assert rate_headers([unknown, audited], 2) == {}


def test_refusals_name_the_rule_its_bucket_the_value_and_the_reset() -> None:
    month = bucket("budgets/month", per=("team", "metadata.env"), values=("teams/growth", "prod"))
    error = refusal(Denial(month, Reason.EXHAUSTED, 60_000, limit=10**10, remaining=10**8, resets_in_ms=60_000), NOW)
    assert error.message == (
        'The budget "month" of team "growth", env "prod" has 0.10 of 10.00 USD left, too little for this call. '
        "It resets at 2026-11-28T12:01:00Z. An admin can raise its amount."
    )
    slots = bucket("rateLimits/c", Kind.SLOTS, amount=3)
    assert "3 calls at once" in refusal(Denial(slots, Reason.EXHAUSTED, 100), NOW).message
    tpm = bucket("rateLimits/tpm", Kind.RATE, unit="input_tokens", amount=60_000)
    error = refusal(Denial(tpm, Reason.EXHAUSTED, 1_250), NOW)
    assert "60000 input tokens per 60 s" in error.message
    assert (error.headers["retry-after"], error.headers["retry-after-ms"]) == ("2", "1250")
    assert "more than rate limit" in too_small(tpm, 70_000).message


@given(
    tokens=st.tuples(TOKENS, TOKENS, TOKENS, TOKENS),
    tier=st.sampled_from(("", "priority")),
    off_ppm=st.integers(0, 10**6),
)
def test_no_usage_within_the_bound_costs_more_than_it(
    tokens: tuple[int, int, int, int], tier: str, off_ppm: int
) -> None:
    rates = (
        Rate(Meter.INPUT, 3_000_000_000),
        Rate(Meter.INPUT, 2_000_000_000, above_input_tokens=200_000),
        Rate(Meter.INPUT, 6_000_000_000, service_tier="priority"),
        Rate(Meter.CACHE_WRITE_5M, 3_750_000_000),
        Rate(Meter.OUTPUT, 15_000_000_000),
        Rate(Meter.REASONING, 18_000_000_000),
        Rate(Meter.REQUEST, 1_000_000_000),
    )
    price = Price("prices/p", 1, "", re.compile(".*"), rates, discount_ppm=off_ppm)
    fresh, written, output, reasoning = tokens
    usage = Usage(input=fresh, cache_write_5m=written, output=output + reasoning, reasoning=reasoning)
    cost = price.cost_nano_usd(usage, tier)
    assert cost is not None
    assert cost <= CostBounds().bound_nano_usd(price, fresh + written, output + reasoning)


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 40)), max_size=60),
    parts=st.sampled_from((1, 2, 10)),
)
def test_a_share_of_a_rate_is_never_passed(arrivals: list[tuple[int, int]], parts: int) -> None:
    one = bucket("rateLimits/r", Kind.RATE, amount=100, burst=100)
    share, now_ms, taken = LocalShare(), 0, []
    for pause_ms, amount in arrivals:
        now_ms += pause_ms
        missing_ms = share.missing_ms(one, parts, amount, now_ms)
        if not missing_ms:
            share.take(one, parts, amount, now_ms)
            taken.append((now_ms, amount))
        else:
            assert not share.missing_ms(one, parts, amount, now_ms + missing_ms)
    for start_ms, _ in taken:
        within = sum(amount for at_ms, amount in taken if start_ms <= at_ms < start_ms + 60_000)
        assert within <= 2 * 100 // parts + 40
