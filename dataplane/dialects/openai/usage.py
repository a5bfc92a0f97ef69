"""OpenAI's usage object, as many providers send it, normalised into disjoint meters."""

from typing import Any, NamedTuple

from dataplane.call import JsonObject
from dataplane.dialects.hub import count_of, object_of, token_count
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Usage

_SEARCHED = ("citation_tokens", "num_search_queries")
_RESEARCH = frozenset((*_SEARCHED, "reasoning_tokens"))
"""What is told beside the totals, and billed beside them, where a model has searched and read for its answer."""


class _Totals(NamedTuple):
    """All that went in and all that came out, with the reasoning in the latter, as clients are told it.

    `prompt` is without the sound where that comes `on_top`, `completion` without what the total has beyond all that is
    told: `unexplained`.
    """

    prompt: int
    on_top: int
    completion: int
    audio: int
    reasoning: int
    unexplained: int


def parse_usage(reported: Any, *, has_output: bool = True) -> Usage | None:
    """Usage of an OpenAI usage object; None when `reported` does not tell both what went in and what came out.

    `prompt_tokens` include cached and cache-written ones and sound, `completion_tokens` include reasoning, but for
    providers whose total says that sound, reasoning or what is cached comes on top. A total that nothing explains has
    reasoning in it that is told nowhere else, as at Google: that is billed as output, but of answers that have none,
    or that searches went into. A total alone is input, as embeddings are counted.
    """
    totals = _totals(reported, has_output=has_output)
    return None if totals is None else _usage(reported, totals)


def read_usage(reported: Any, *, has_output: bool = True) -> tuple[Usage | None, bool]:
    """What parse_usage says of `reported`, which is then put right in place, and whether it had to be.

    It counts as OpenAI's does: reasoning that comes on top is in what came out, what is cached in what went in, cached
    tokens and sound are in the details of the prompt, and what went in is told where a total alone was. Sound on top of
    the prompt, and what only the total tells, stay there.
    """
    totals = _totals(reported, has_output=has_output)
    if totals is None:
        return None, False
    return _usage(reported, totals), _mend(reported, totals)


def parse_service_tier(payload: JsonObject) -> str | None:
    """The class of service that an answer or a chunk says it is, itself or in its usage; None when it says none."""
    reported = payload.get("service_tier")
    if not isinstance(reported, str):
        reported = object_of(payload.get("usage")).get("service_tier")
    return canonical_tier(reported) if isinstance(reported, str) else None


def _totals(reported: Any, *, has_output: bool) -> _Totals | None:
    """What went in and came out, wherever that is told; None where it is not."""
    if not isinstance(reported, dict):
        return None
    total = token_count(reported, "total_tokens")
    prompt, completion = token_count(reported, "prompt_tokens"), token_count(reported, "completion_tokens")
    if prompt is None:
        prompt = None if total is None or total < (completion or 0) else total - (completion or 0)
    if prompt is None:
        return None
    if completion is None:
        completion = max(0, (total or 0) - prompt) if has_output else 0
    cached = _anthropics_cached(reported)
    prompt += cached if cached > prompt else 0
    reasoning = count_of(object_of(reported.get("completion_tokens_details")), "reasoning_tokens")
    audio = count_of(object_of(reported.get("prompt_tokens_details")), "audio_tokens")
    totals = _Totals(prompt, 0, completion, audio, reasoning, max(0, (total or 0) - prompt - completion))
    if totals.unexplained:
        totals = _explained(reported, totals)
    return totals if has_output else totals._replace(unexplained=0)


def _explained(reported: JsonObject, totals: _Totals) -> _Totals:
    """`totals` with all that is `unexplained` where it belongs, as far as anything that is told has its size."""
    prompt, _, completion, audio, reasoning, rest = totals
    if not audio and rest != reasoning and count_of(reported, "prompt_audio_seconds"):
        audio = rest
    if rest in (reasoning, reasoning + audio):
        completion += reasoning
        rest -= reasoning
    if rest == audio:
        return _Totals(prompt, audio, completion, audio, reasoning, 0)
    details = object_of(reported.get("prompt_tokens_details"))
    read, written = _cache_read(reported, details), _cache_write(reported, details)
    if rest in (read, written, read + written):
        return _Totals(prompt + rest, 0, completion, audio, reasoning, 0)
    if not reported.keys().isdisjoint(_SEARCHED):
        rest = 0
    return _Totals(prompt, 0, completion, audio, reasoning, rest)


def _mend(reported: JsonObject, totals: _Totals) -> bool:
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


def _usage(reported: JsonObject, totals: _Totals) -> Usage:
    usage = _disjoint(reported, totals)
    return _with_research(usage, reported) if reported.keys() >= _RESEARCH else usage


def _disjoint(reported: JsonObject, totals: _Totals) -> Usage:
    went_in = object_of(reported.get("prompt_tokens_details"))
    came_out = object_of(reported.get("completion_tokens_details"))
    fresh, written = totals.prompt + totals.on_top, totals.completion + totals.unexplained
    cache_read = min(fresh, _cache_read(reported, went_in))
    fresh -= cache_read
    cache_write = min(fresh, _cache_write(reported, went_in))
    fresh -= cache_write
    input_audio = min(fresh, totals.audio)
    fresh -= input_audio
    input_image = min(fresh, count_of(went_in, "image_tokens"))
    output_audio = min(written, count_of(came_out, "audio_tokens"))
    written -= output_audio
    output_image = min(written, count_of(came_out, "image_tokens"))
    written -= output_image
    return Usage(
        input=fresh - input_image,
        cache_read=cache_read,
        cache_write_5m=cache_write,
        output=written,
        reasoning=min(written, _reasoning(totals)),
        input_audio=input_audio,
        output_audio=output_audio,
        input_image=input_image,
        output_image=output_image,
    )


def _reasoning(totals: _Totals) -> int:
    """All the reasoning; what is told of it is a part of the unexplained where the completion is too small for it."""
    if totals.reasoning > totals.completion:
        return max(totals.reasoning, totals.unexplained)
    return totals.reasoning + totals.unexplained


def _with_research(usage: Usage, reported: JsonObject) -> Usage:
    """`usage` with pages that were read, which are billed as input is, the reasoning about them, and searches."""
    reasoning = count_of(reported, "reasoning_tokens")
    return usage._replace(
        input=usage.input + count_of(reported, "citation_tokens"),
        output=usage.output + reasoning,
        reasoning=usage.reasoning + reasoning,
        search=count_of(reported, "num_search_queries"),
    )


def _cache_read(reported: JsonObject, went_in: JsonObject) -> int:
    """Cached tokens, wherever the provider puts them."""
    return (
        count_of(went_in, "cached_tokens")
        or count_of(reported, "prompt_cache_hit_tokens")
        or count_of(reported, "cached_tokens")
        or count_of(reported, "num_cached_tokens")
        or count_of(reported, "cache_read_input_tokens")
    )


def _cache_write(reported: JsonObject, went_in: JsonObject) -> int:
    """Tokens written to the cache, wherever the provider puts them."""
    return (
        count_of(went_in, "cache_write_tokens")
        or count_of(went_in, "cache_creation_tokens")
        or count_of(went_in, "cache_creation_input_tokens")
        or count_of(reported, "cache_creation_input_tokens")
    )


def _anthropics_cached(reported: JsonObject) -> int:
    """Tokens read from and written to the cache under Anthropic's names: its prompts do not include them."""
    return count_of(reported, "cache_read_input_tokens") + count_of(reported, "cache_creation_input_tokens")
