"""OpenAI's usage object, as many providers send it, normalised into disjoint meters."""

from typing import Any

from tollway.kernel.usage import Usage


def parse_usage(reported: Any) -> Usage | None:
    """Usage of an OpenAI usage object; None when `reported` is not one.

    `prompt_tokens` include cached and cache-written ones, `completion_tokens` include reasoning, but for providers
    whose total says that reasoning comes on top.
    """
    if not isinstance(reported, dict) or not ({"prompt_tokens", "completion_tokens", "total_tokens"} & reported.keys()):
        return None
    prompt, completion = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
    went_in = _object(reported, "prompt_tokens_details")
    came_out = _object(reported, "completion_tokens_details")
    reasoning = _count(came_out, "reasoning_tokens")
    if reasoning and _count(reported, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    cache_read = min(prompt, _cache_read(reported, went_in))
    cache_write = min(prompt - cache_read, _count(went_in, "cache_write_tokens"))
    input_audio = min(prompt - cache_read - cache_write, _count(went_in, "audio_tokens"))
    output_audio = min(completion, _count(came_out, "audio_tokens"))
    return Usage(
        input=prompt - cache_read - cache_write - input_audio,
        cache_read=cache_read,
        cache_write_5m=cache_write,
        output=completion - output_audio,
        reasoning=min(completion - output_audio, reasoning),
        input_audio=input_audio,
        output_audio=output_audio,
    )


def _cache_read(reported: dict[str, Any], went_in: dict[str, Any]) -> int:
    """Cached tokens, wherever the provider puts them."""
    return (
        _count(went_in, "cached_tokens")
        or _count(reported, "prompt_cache_hit_tokens")
        or _count(reported, "cached_tokens")
        or _count(reported, "num_cached_tokens")
    )


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _count(parent: dict[str, Any], name: str) -> int:
    value = parent.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
