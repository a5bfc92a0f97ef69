"""Anthropic's usage object, normalised into disjoint meters, and told as OpenAI tells it."""

from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.hub import token_count
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Usage

_MOST_TOKENS = 10**9
_FAST = "fast"
_INPUT = frozenset(("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))


def merged_usage(reported: JsonObject, more: Any) -> JsonObject:
    """`reported`, overruled by what a later event of the same stream says; what that leaves out, null or 0 stays."""
    if not isinstance(more, dict):
        return reported
    told = {name: value for name, value in more.items() if value or (value is not None and name not in _INPUT)}
    return {**reported, **told}


def begun_usage(reported: Any) -> JsonObject:
    """What the first event of a stream says, but for the output, of which it knows nothing yet."""
    return {**reported, "output_tokens": 0} if isinstance(reported, dict) and "output_tokens" in reported else {}


def parse_usage(reported: Any) -> Usage | None:
    """Usage of an Anthropic usage object; None when `reported` does not tell what came out.

    `input_tokens` are fresh ones only, `output_tokens` include thinking. What summing up a long conversation took is
    told apart, in `iterations`, and added.
    """
    if not isinstance(reported, dict) or token_count(reported, "output_tokens") is None:
        return None
    parts = [reported, *_compactions(reported)]
    written = [_cache_writes(part) for part in parts]
    output = sum(_count(part, "output_tokens") for part in parts)
    return Usage(
        input=sum(_count(part, "input_tokens") for part in parts),
        cache_read=sum(_count(part, "cache_read_input_tokens") for part in parts),
        cache_write_5m=sum(for_5m for for_5m, _ in written),
        cache_write_1h=sum(for_1h for _, for_1h in written),
        output=output,
        reasoning=min(output, _count(_object(reported, "output_tokens_details"), "thinking_tokens")),
        search=_count(_object(reported, "server_tool_use"), "web_search_requests"),
    )


def parse_service_tier(reported: Any) -> str | None:
    """The class of service that a usage object says the answer had; None when it says none."""
    if not isinstance(reported, dict):
        return None
    if reported.get("speed") == _FAST:
        return _FAST
    tier = reported.get("service_tier")
    return canonical_tier(tier) if isinstance(tier, str) else None


def _compactions(reported: JsonObject) -> list[JsonObject]:
    iterations = reported.get("iterations")
    if not isinstance(iterations, list):
        return []
    return [part for part in iterations if isinstance(part, dict) and part.get("type") == "compaction"]


def _cache_writes(reported: JsonObject) -> tuple[int, int]:
    """Tokens written for five minutes and for an hour. The split may be an earlier event's: the total counts."""
    split = _object(reported, "cache_creation")
    for_5m, for_1h = _count(split, "ephemeral_5m_input_tokens"), _count(split, "ephemeral_1h_input_tokens")
    total = token_count(reported, "cache_creation_input_tokens")
    if total is None:
        return for_5m, for_1h
    for_1h = total if for_1h and not for_5m else min(total, for_1h)
    return total - for_1h, for_1h


def _object(parent: JsonObject, name: str) -> JsonObject:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _count(parent: JsonObject, name: str) -> int:
    return token_count(parent, name) or 0
