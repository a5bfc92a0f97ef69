"""Usage objects as providers send them, as disjoint meters."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.openai.usage import parse_service_tier, parse_usage, read_usage
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
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_cache_hit_tokens": 8},
            Usage(input=1, cache_read=8, output=5),
        ),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 40,
                "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 8, "image_tokens": 12},
                "completion_tokens_details": {"audio_tokens": 5, "image_tokens": 6, "reasoning_tokens": 7},
            },
            Usage(
                input=20,
                cache_read=10,
                input_audio=8,
                input_image=12,
                output=29,
                reasoning=7,
                output_audio=5,
                output_image=6,
            ),
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
        is_on_top = usage.input_tokens + usage.output_tokens == reported.get("total_tokens")
        assert usage.input_tokens == prompt or (usage.input_tokens > prompt and is_on_top)


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
        st.sampled_from(
            [
                *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "num_cached_tokens"),
                *("prompt_audio_seconds", "cache_read_input_tokens", "cache_creation_input_tokens"),
            ]
        ),
        st.integers(-5, 50) | st.none() | st.floats(0, 9) | st.text(max_size=2),
    ),
    st.integers(0, 20),
)
def test_mended_usage_counts_as_before_and_is_right(reported: dict[str, Any], reasoning: int) -> None:
    reported["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    before = parse_usage(reported)
    usage, has_changed = read_usage(reported)
    assert usage == before
    assert parse_usage(reported) == before
    if before is not None and has_changed:
        assert reported["prompt_tokens"] == before.input_tokens or reported.get("prompt_audio_seconds")
    assert not read_usage(reported)[1]


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens_details": {"audio_tokens": 90}}, Usage(input=10, input_audio=90, output=5)),
        ({"prompt_audio_seconds": 3}, Usage(input=10, input_audio=90, output=5)),
        (
            {"prompt_audio_seconds": 3, "prompt_tokens_details": {"cached_tokens": 95}},
            Usage(input=0, cache_read=95, input_audio=5, output=5),
        ),
        (
            {"completion_tokens_details": {"reasoning_tokens": 90}},
            Usage(input=10, output=95, reasoning=90),
        ),
        (
            {
                "prompt_tokens_details": {"audio_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            Usage(input=10, input_audio=60, output=35, reasoning=30),
        ),
    ],
)
def test_what_comes_on_top_by_the_total_is_counted(reported: dict[str, Any], usage: Usage) -> None:
    totals = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 105}
    told = {**totals, **reported}
    assert parse_usage(told) == usage
    assert read_usage(told)[0] == usage
    assert parse_usage(told) == usage
    assert (told["prompt_tokens"], told["completion_tokens"]) == (10, usage.output_tokens)
    assert told["total_tokens"] == 105
    assert not read_usage(told)[1]


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({}, Usage(input=10, output=95, reasoning=90)),
        ({"prompt_tokens_details": {"audio_tokens": 4}}, Usage(input=6, input_audio=4, output=95, reasoning=90)),
        ({"completion_tokens_details": {"reasoning_tokens": 3}}, Usage(input=10, output=95, reasoning=93)),
        ({"cache_read_input_tokens": 40}, Usage(input=10, cache_read=40, output=55, reasoning=50)),
        ({"cache_read_input_tokens": 90}, Usage(input=10, cache_read=90, output=5)),
        (
            {"citation_tokens": 50, "reasoning_tokens": 40, "num_search_queries": 7},
            Usage(input=60, output=45, reasoning=40, search=7),
        ),
    ],
)
def test_what_nothing_but_the_total_tells_is_metered_as_reasoning(reported: dict[str, Any], usage: Usage) -> None:
    told = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 105, **reported}
    assert parse_usage(told) == usage
    assert read_usage(told)[0] == usage
    assert (told["completion_tokens"], told["total_tokens"]) == (5, 105)
    assert read_usage(told) == (usage, False)


@pytest.mark.parametrize(
    ("reported", "read", "written"),
    [
        ({"cache_read_input_tokens": 800}, 800, 0),
        ({"cache_creation_input_tokens": 800}, 0, 800),
        ({"cache_read_input_tokens": 500, "cache_creation_input_tokens": 300}, 500, 300),
        ({"prompt_tokens_details": {"cached_tokens": 800}}, 800, 0),
        ({"prompt_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 100}}, 800, 100),
        ({"prompt_cache_hit_tokens": 800}, 800, 0),
    ],
)
def test_what_is_cached_on_top_by_the_total_is_input(reported: dict[str, Any], read: int, written: int) -> None:
    told = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1810, **reported}
    usage = Usage(input=1800 - read - written, cache_read=read, cache_write_5m=written, output=10)
    assert parse_usage(told) == usage
    assert read_usage(told) == (usage, True)
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (1800, 10, 1810)
    assert read_usage(told) == (usage, False)


@pytest.mark.parametrize(("told", "all_of_it"), [(30, 70), (80, 80), (20, 90), (0, 70)])
def test_reasoning_that_is_told_and_in_the_total_alone_is_metered_once(told: int, all_of_it: int) -> None:
    totals = {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 140}
    usage = parse_usage({**totals, "completion_tokens_details": {"reasoning_tokens": told}})
    assert usage == Usage(input=50, output=90, reasoning=all_of_it)


@pytest.mark.parametrize("searched", [{"citation_tokens": 5000}, {"num_search_queries": 3}])
def test_what_searches_add_to_the_total_is_no_output(searched: dict[str, int]) -> None:
    told = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 5015, **searched}
    assert parse_usage(told) == Usage(input=10, output=5)
    research = {"citation_tokens": 0, "num_search_queries": 0, "reasoning_tokens": 5000}
    assert parse_usage({**told, **research}) == Usage(input=10, output=5005, reasoning=5000)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1002}, Usage(input=1000)),
        ({"prompt_tokens": 1000, "total_tokens": 1002}, Usage(input=1000)),
        ({"total_tokens": 1002}, Usage(input=1002)),
    ],
)
def test_what_has_no_output_has_none_by_the_total(reported: dict[str, int], usage: Usage) -> None:
    assert parse_usage(reported, has_output=False) == usage
    assert read_usage(reported, has_output=False)[0] == usage
    assert "completion_tokens" not in reported or reported["completion_tokens"] == 0


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens_details": {"cache_write_tokens": 3}}, Usage(input=7, cache_write_5m=3, output=5)),
        ({"prompt_tokens_details": {"cache_creation_tokens": 3}}, Usage(input=7, cache_write_5m=3, output=5)),
        ({"prompt_tokens_details": {"cache_creation_input_tokens": 3}}, Usage(input=7, cache_write_5m=3, output=5)),
        ({"cache_creation_input_tokens": 3}, Usage(input=7, cache_write_5m=3, output=5)),
        ({"cache_read_input_tokens": 4}, Usage(input=6, cache_read=4, output=5)),
        (
            {"cache_read_input_tokens": 40, "cache_creation_input_tokens": 3},
            Usage(input=10, cache_read=40, cache_write_5m=3, output=5),
        ),
    ],
)
def test_caches_are_metered_wherever_they_are_told(reported: dict[str, Any], usage: Usage) -> None:
    """Parts of the prompt are in it, but where they are larger than all of it."""
    told = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **reported}
    assert parse_usage(told) == usage
    read_usage(told)
    assert parse_usage(told) == usage
    assert told["prompt_tokens"] + told["completion_tokens"] == told["total_tokens"]


def test_research_is_metered_with_what_is_billed_beside_the_totals() -> None:
    totals = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    research = {"citation_tokens": 200, "reasoning_tokens": 3000, "num_search_queries": 7}
    told = {**totals, **research}
    assert parse_usage(told) == Usage(input=210, output=3005, reasoning=3000, search=7)
    assert not read_usage(told)[1]
    for name in research:
        assert parse_usage({key: value for key, value in told.items() if key != name}) == Usage(input=10, output=5)


def test_the_service_tier_may_stand_in_the_usage() -> None:
    assert parse_service_tier({"usage": {"service_tier": "priority"}}) == "priority"
    assert parse_service_tier({"usage": {"service_tier": "priority"}, "service_tier": "flex"}) == "flex"
    assert parse_service_tier({"usage": []}) is None
