"""Gemini's usage normalised into disjoint meters, and told again with OpenAI's words."""

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import object_at, objects_at, text_at
from dataplane.dialects.hub import count_of
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Usage

_UNSPECIFIED = "unspecified"
_ON_DEMAND = "on_demand_"


def parse_usage(answer: JsonObject) -> Usage | None:
    """Usage of an answer's usageMetadata; None where it tells no tokens.

    Cached tokens are inside promptTokenCount; thoughts and what tools put into the prompt come on top of the other
    counts. Counts of zero are left out by the provider.
    """
    reported = object_at(answer, "usageMetadata")
    prompt, total = count_of(reported, "promptTokenCount"), count_of(reported, "totalTokenCount")
    if not prompt and not total:
        return None
    tool_use, thoughts = count_of(reported, "toolUsePromptTokenCount"), count_of(reported, "thoughtsTokenCount")
    answered = count_of(reported, "candidatesTokenCount")
    if "candidatesTokenCount" not in reported:
        answered = max(0, total - prompt - tool_use - thoughts)
    went_in, cached = _modalities(reported, "promptTokensDetails"), _modalities(reported, "cacheTokensDetails")
    for modality, count in _modalities(reported, "toolUsePromptTokensDetails").items():
        went_in[modality] = went_in.get(modality, 0) + count
    came_out = _modalities(reported, "candidatesTokensDetails")
    all_cached = min(prompt, count_of(reported, "cachedContentTokenCount"))
    fresh = prompt + tool_use - all_cached
    cached_audio = min(all_cached, cached.get("AUDIO", 0))
    input_audio = min(fresh, max(0, went_in.get("AUDIO", 0) - cached.get("AUDIO", 0)))
    input_image = min(fresh - input_audio, max(0, went_in.get("IMAGE", 0) - cached.get("IMAGE", 0)))
    output_audio = min(answered, came_out.get("AUDIO", 0))
    output_image = min(answered - output_audio, came_out.get("IMAGE", 0))
    return Usage(
        input=fresh - input_audio - input_image,
        cache_read=all_cached - cached_audio,
        cache_read_audio=cached_audio,
        output=answered + thoughts - output_audio - output_image,
        reasoning=thoughts,
        input_audio=input_audio,
        output_audio=output_audio,
        input_image=input_image,
        output_image=output_image,
    )


def render_usage(usage: Usage) -> JsonObject:
    """`usage` as OpenAI's usage object: everything that went in, and everything that came out."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read + usage.cache_read_audio,
            "cache_write_tokens": 0,
            "audio_tokens": usage.input_audio + usage.cache_read_audio,
            "image_tokens": usage.input_image,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
            "image_tokens": usage.output_image,
        },
    }


def parse_service_tier(answer: JsonObject) -> str | None:
    """The class of service that an answer says it is; None where it says none."""
    reported = object_at(answer, "usageMetadata")
    for name in ("serviceTier", "trafficType"):
        tier = text_at(reported, name).lower()
        if tier and not tier.endswith(_UNSPECIFIED):
            return canonical_tier(tier.removeprefix(_ON_DEMAND))
    return None


def _modalities(reported: JsonObject, name: str) -> dict[str, int]:
    """Tokens by modality, as the details under `name` tell them."""
    tokens: dict[str, int] = {}
    for detail in objects_at(reported, name):
        modality = text_at(detail, "modality").upper()
        tokens[modality] = tokens.get(modality, 0) + count_of(detail, "tokenCount")
    return tokens
