"""OpenAI's usage object, as many providers send it, normalised into disjoint meters."""

from typing import Any, NamedTuple

from dataplane.dialects.hub import count_of, object_of, token_count
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Usage

_RESEARCH = frozenset(("citation_tokens", "num_search_queries", "reasoning_tokens"))
"""What is told beside the totals, and billed beside them, where a model has searched and read for its answer."""


class _Totals(NamedTuple):
    """All that went in and all that came out, with the reasoning in the latter.

    `prompt` is without the sound where that comes `on_top`.
    """

    prompt: int
    on_top: int
    completion: int
    audio: int
    reasoning: int


def parse_usage(reported: Any) -> Usage | None:
    """Usage of an OpenAI usage object; None when `reported` does not tell both what went in and what came out.

    `prompt_tokens` include cached and cache-written ones and sound, `completion_tokens` include reasoning, but for
    providers whose total says that sound or reasoning comes on top. A total alone is input, as embeddings are counted.
    """
    if not isinstance(reported, dict):
        return None
    totals = _totals(reported)
    if totals is None:
        return None
    usage = _disjoint(reported, totals)
    return _with_research(usage, reported) if reported.keys() >= _RESEARCH else usage


def mend_usage(reported: Any) -> bool:
    """Puts a usage object right in place, so that it counts as OpenAI's does, and says whether it had to be.

    Reasoning that comes on top is then in what came out, cached tokens and sound are in the details of the prompt, and
    what went in is told where a total alone was. Sound on top of the prompt stays there: the total tells it.
    """
    if not isinstance(reported, dict):
        return False
    totals = _totals(reported)
    if totals is None:
        return False
    has_changed = False
    if totals.prompt != token_count(reported, "prompt_tokens"):
        reported["prompt_tokens"] = totals.prompt
        if (token_count(reported, "total_tokens") or 0) < totals.prompt + totals.completion:
            reported["total_tokens"] = totals.prompt + totals.completion
        has_changed = True
    if totals.completion != (token_count(reported, "completion_tokens") or 0) and "completion_tokens" in reported:
        reported["completion_tokens"] = totals.completion
        has_changed = True
    details = object_of(reported.get("prompt_tokens_details"))
    lacking = {
        name: count
        for name, count in (("cached_tokens", _cache_read(reported, details)), ("audio_tokens", totals.audio))
        if count and not count_of(details, name)
    }
    if lacking:
        reported["prompt_tokens_details"] = details | lacking
    return has_changed or bool(lacking)


def parse_service_tier(payload: dict[str, Any]) -> str | None:
    """The class of service that an answer or a chunk says it is, itself or in its usage; None when it says none."""
    reported = payload.get("service_tier")
    if not isinstance(reported, str):
        reported = object_of(payload.get("usage")).get("service_tier")
    return canonical_tier(reported) if isinstance(reported, str) else None


def _totals(reported: dict[str, Any]) -> _Totals | None:
    """What went in and came out, wherever that is told; None where it is not."""
    total = token_count(reported, "total_tokens")
    prompt, completion = token_count(reported, "prompt_tokens"), token_count(reported, "completion_tokens")
    if prompt is None:
        prompt = None if total is None or total < (completion or 0) else total - (completion or 0)
    if prompt is None:
        return None
    if completion is None:
        completion = max(0, (total or 0) - prompt)
    reasoning = count_of(object_of(reported.get("completion_tokens_details")), "reasoning_tokens")
    audio = count_of(object_of(reported.get("prompt_tokens_details")), "audio_tokens")
    on_top = max(0, (total or 0) - prompt - completion)
    if on_top and not audio and on_top != reasoning and count_of(reported, "prompt_audio_seconds"):
        audio = on_top
    if on_top and on_top in (reasoning, reasoning + audio):
        completion += reasoning
        on_top -= reasoning
    cached = _anthropics_cached(reported)
    prompt += cached if cached > prompt else 0
    return _Totals(prompt, audio if on_top == audio else 0, completion, audio, reasoning)


def _disjoint(reported: dict[str, Any], totals: _Totals) -> Usage:
    went_in = object_of(reported.get("prompt_tokens_details"))
    came_out = object_of(reported.get("completion_tokens_details"))
    fresh, shown = totals.prompt + totals.on_top, totals.completion
    cache_read = min(fresh, _cache_read(reported, went_in))
    fresh -= cache_read
    cache_write = min(fresh, _cache_write(reported, went_in))
    fresh -= cache_write
    input_audio = min(fresh, totals.audio)
    fresh -= input_audio
    input_image = min(fresh, count_of(went_in, "image_tokens"))
    output_audio = min(shown, count_of(came_out, "audio_tokens"))
    shown -= output_audio
    output_image = min(shown, count_of(came_out, "image_tokens"))
    shown -= output_image
    return Usage(
        input=fresh - input_image,
        cache_read=cache_read,
        cache_write_5m=cache_write,
        output=shown,
        reasoning=min(shown, totals.reasoning),
        input_audio=input_audio,
        output_audio=output_audio,
        input_image=input_image,
        output_image=output_image,
    )


def _with_research(usage: Usage, reported: dict[str, Any]) -> Usage:
    """`usage` with pages that were read, which are billed as input is, the reasoning about them, and searches."""
    reasoning = count_of(reported, "reasoning_tokens")
    return usage._replace(
        input=usage.input + count_of(reported, "citation_tokens"),
        output=usage.output + reasoning,
        reasoning=usage.reasoning + reasoning,
        search=count_of(reported, "num_search_queries"),
    )


def _cache_read(reported: dict[str, Any], went_in: dict[str, Any]) -> int:
    """Cached tokens, wherever the provider puts them."""
    return (
        count_of(went_in, "cached_tokens")
        or count_of(reported, "prompt_cache_hit_tokens")
        or count_of(reported, "cached_tokens")
        or count_of(reported, "num_cached_tokens")
        or count_of(reported, "cache_read_input_tokens")
    )


def _cache_write(reported: dict[str, Any], went_in: dict[str, Any]) -> int:
    """Tokens written to the cache, wherever the provider puts them."""
    return (
        count_of(went_in, "cache_write_tokens")
        or count_of(went_in, "cache_creation_tokens")
        or count_of(went_in, "cache_creation_input_tokens")
        or count_of(reported, "cache_creation_input_tokens")
    )


def _anthropics_cached(reported: dict[str, Any]) -> int:
    """Tokens read from and written to the cache under Anthropic's names: its prompts do not include them."""
    return count_of(reported, "cache_read_input_tokens") + count_of(reported, "cache_creation_input_tokens")
