"""Usage objects as providers send them, as disjoint meters."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.openai.usage import mend_usage, parse_service_tier, parse_usage
from tollway.kernel.usage import Usage

COUNTS = st.none() | st.integers(-5, 100) | st.floats() | st.text(max_size=3) | st.booleans()
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens"]), COUNTS
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "total_tokens": COUNTS,
        "prompt_tokens_details": DETAILS,
        "completion_tokens_details": DETAILS,
        "prompt_cache_hit_tokens": COUNTS,
    },
)


@pytest.mark.parametrize(
    "reported",
    [
        None,
        7,
        [],
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "12", "completion_tokens": True, "total_tokens": 1.5},
        {"prompt_tokens": -1},
        {"completion_tokens": 5},
        {"completion_tokens": 5, "total_tokens": 3},
        {"prompt_tokens": float("inf")},
        {"prompt_tokens": 1 << 63, "completion_tokens": 1},
    ],
)
def test_what_does_not_tell_is_unknown(reported: Any) -> None:
    assert parse_usage(reported) is None


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 12.0, "completion_tokens": 3.0}, Usage(input=12, output=3)),
        ({"total_tokens": 9}, Usage(input=9)),
        ({"prompt_tokens": 8}, Usage(input=8)),
        ({"completion_tokens": 5, "total_tokens": 9}, Usage(input=4, output=5)),
        ({"prompt_tokens": 4, "total_tokens": 9}, Usage(input=4, output=5)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage()),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4.0}},
            Usage(input=6, cache_read=4, output=5),
        ),
    ],
)
def test_usage(reported: dict[str, Any], usage: Usage) -> None:
    assert parse_usage(reported) == usage


@given(REPORTS)
def test_meters_are_disjoint_and_whole(reported: dict[str, Any]) -> None:
    usage = parse_usage(reported)
    if usage is None:
        return
    assert all(type(quantity) is int and quantity > 0 for _, quantity in usage.readings())
    assert usage.reasoning <= usage.output
    prompt = reported.get("prompt_tokens")
    if type(prompt) is int and prompt >= 0:
        assert usage.input_tokens == prompt


@pytest.mark.parametrize(
    ("payload", "tier"),
    [
        ({}, None),
        ({"service_tier": None}, None),
        ({"service_tier": 3}, None),
        ({"service_tier": "default"}, ""),
        ({"service_tier": "on_demand"}, ""),
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "Priority"}, "priority"),
    ],
)
def test_the_service_tier_is_read_as_prices_name_it(payload: dict[str, Any], tier: str | None) -> None:
    assert parse_service_tier(payload) == tier


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "num_cached_tokens"]),
        st.integers(-5, 50) | st.none() | st.floats(0, 9) | st.text(max_size=2),
    ),
    st.integers(0, 20),
)
def test_mended_usage_counts_as_before_and_is_right(reported: dict[str, Any], reasoning: int) -> None:
    reported["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    before = parse_usage(reported)
    has_changed = mend_usage(reported)
    assert parse_usage(reported) == before
    if before is not None and has_changed:
        assert reported["prompt_tokens"] == before.input_tokens
    assert not mend_usage(reported)
