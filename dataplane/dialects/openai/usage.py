"""OpenAI's usage object, as many providers send it, normalised into disjoint meters."""

from typing import Any

from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Usage

_MOST_TOKENS = 10**9


def parse_usage(reported: Any) -> Usage | None:
    """Usage of an OpenAI usage object; None when `reported` does not tell both what went in and what came out.

    `prompt_tokens` include cached and cache-written ones, `completion_tokens` include reasoning, but for providers
    whose total says that reasoning comes on top. A total alone is input, as embeddings are counted.
    """
    if not isinstance(reported, dict):
        return None
    total = _number(reported, "total_tokens")
    prompt, completion = _number(reported, "prompt_tokens"), _number(reported, "completion_tokens")
    if prompt is None:
        prompt = None if total is None or total < (completion or 0) else total - (completion or 0)
    if prompt is None:
        return None
    if completion is None:
        completion = max(0, (total or 0) - prompt)
    return _disjoint(reported, prompt, completion, total)


def mend_usage(reported: Any) -> bool:
    """Puts a usage object right in place, so that it counts as OpenAI's does, and says whether it had to be.

    Reasoning that comes on top of the completion is then in it, cached tokens are in the details of the prompt, and
    what went in is told where a total alone was.
    """
    if not isinstance(reported, dict):
        return False
    total = _number(reported, "total_tokens")
    prompt, completion = _number(reported, "prompt_tokens"), _number(reported, "completion_tokens")
    has_changed = False
    reasoning = _count(_object(reported, "completion_tokens_details"), "reasoning_tokens")
    if reasoning and prompt is not None and completion is not None and total == prompt + completion + reasoning:
        reported["completion_tokens"] = completion + reasoning
        has_changed = True
    if prompt is None and total is not None and total >= (completion or 0):
        reported["prompt_tokens"] = total - (completion or 0)
        has_changed = True
    details = _object(reported, "prompt_tokens_details")
    cached = 0 if _count(details, "cached_tokens") else _cache_read(reported, details)
    if cached:
        reported["prompt_tokens_details"] = details | {"cached_tokens": cached}
        has_changed = True
    return has_changed


def parse_service_tier(payload: dict[str, Any]) -> str | None:
    """The class of service that an answer or a chunk says it is; None when it says none."""
    reported = payload.get("service_tier")
    return canonical_tier(reported) if isinstance(reported, str) else None


def _disjoint(reported: dict[str, Any], prompt: int, completion: int, total: int | None) -> Usage:
    went_in = _object(reported, "prompt_tokens_details")
    came_out = _object(reported, "completion_tokens_details")
    reasoning = _count(came_out, "reasoning_tokens")
    if reasoning and total == prompt + completion + reasoning:
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
    return (_number(parent, name) or 0) if name in parent else 0


def _number(parent: dict[str, Any], name: str) -> int | None:
    """The token count under `name`, also when it is written as 12.0; None when it is no credible one."""
    value = parent.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
