"""Gemini's usage as disjoint meters: never negative, and adding up to the provider's own total."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.gemini.usage import parse_service_tier, parse_usage, render_usage
from tollway.kernel.usage import Usage

COUNTS = st.integers(0, 5000)
MODALITIES = st.dictionaries(st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO"]), COUNTS)


def details(**tokens: int) -> list[dict[str, Any]]:
    return [{"modality": modality, "tokenCount": count} for modality, count in tokens.items()]


def usage_of(**reported: Any) -> Usage | None:
    return parse_usage({"usageMetadata": reported})


def test_modalities_are_meters_of_their_own() -> None:
    usage = usage_of(
        promptTokenCount=100,
        cachedContentTokenCount=30,
        toolUsePromptTokenCount=7,
        candidatesTokenCount=50,
        thoughtsTokenCount=20,
        totalTokenCount=177,
        promptTokensDetails=details(TEXT=50, AUDIO=20, IMAGE=25, DOCUMENT=5),
        cacheTokensDetails=details(TEXT=15, AUDIO=5, IMAGE=10),
        toolUsePromptTokensDetails=details(TEXT=6, IMAGE=1),
        candidatesTokensDetails=details(TEXT=10, IMAGE=36, AUDIO=4),
    )
    assert usage == Usage(
        input=46,
        cache_read=25,
        cache_read_audio=5,
        input_audio=15,
        input_image=16,
        output=30,
        reasoning=20,
        output_audio=4,
        output_image=36,
    )
    shown = render_usage(usage)
    assert (shown["prompt_tokens"], shown["completion_tokens"], shown["total_tokens"]) == (107, 70, 177)
    assert shown["prompt_tokens_details"] == {
        "cached_tokens": 30,
        "cache_write_tokens": 0,
        "audio_tokens": 20,
        "image_tokens": 16,
    }
    assert shown["completion_tokens_details"] == {"reasoning_tokens": 20, "audio_tokens": 4, "image_tokens": 36}


@pytest.mark.parametrize(
    "reported", [{}, {"trafficType": "ON_DEMAND"}, {"promptTokenCount": "3"}, {"totalTokenCount": -1}]
)
def test_usage_without_tokens_is_none(reported: Any) -> None:
    assert usage_of(**reported) is None
    assert parse_usage({"usageMetadata": 3}) is None


def test_answer_that_only_the_total_tells() -> None:
    assert usage_of(promptTokenCount=4, thoughtsTokenCount=2, totalTokenCount=9) == Usage(4, output=5, reasoning=2)


@given(st.tuples(*[COUNTS] * 5), st.tuples(*[MODALITIES] * 4))
def test_meters_are_disjoint_and_add_up(
    counts: tuple[int, int, int, int, int], modalities: tuple[dict[str, int], ...]
) -> None:
    prompt, cached, tool_use, answered, thoughts = counts
    names = ("promptTokensDetails", "cacheTokensDetails", "toolUsePromptTokensDetails", "candidatesTokensDetails")
    usage = usage_of(
        promptTokenCount=prompt,
        cachedContentTokenCount=cached,
        toolUsePromptTokenCount=tool_use,
        candidatesTokenCount=answered,
        thoughtsTokenCount=thoughts,
        totalTokenCount=prompt + tool_use + answered + thoughts,
        **{name: details(**tokens) for name, tokens in zip(names, modalities, strict=True)},
    )
    if usage is None:
        assert prompt + tool_use + answered + thoughts == 0
        return
    assert min(usage) >= 0
    assert (usage.input_tokens, usage.output_tokens) == (prompt + tool_use, answered + thoughts)
    assert usage.cache_read + usage.cache_read_audio == min(prompt, cached)
    assert usage.reasoning == thoughts <= usage.output


@pytest.mark.parametrize(
    ("reported", "tier"),
    [
        ({"serviceTier": "standard"}, ""),
        ({"serviceTier": "FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND"}, ""),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned_throughput"),
        ({"trafficType": "TRAFFIC_TYPE_UNSPECIFIED"}, None),
        ({"serviceTier": "unspecified", "trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"promptTokenCount": 3}, None),
    ],
)
def test_classes_of_service(reported: Any, tier: str | None) -> None:
    assert parse_service_tier({"usageMetadata": reported}) == tier
