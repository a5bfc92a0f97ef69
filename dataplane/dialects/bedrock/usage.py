"""What Bedrock says was used, in Converse's usage object or in headers, normalised into disjoint meters."""

from collections.abc import Mapping
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import token_count
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import NO_USAGE, Usage

_HOUR: Final = "1h"
_GUARDRAIL: Final = "guardrail_intervened"
_OPTIMIZED: Final = "optimized"
_MOST_DIGITS: Final = 10
_COUNT_HEADER: Final = "x-amzn-bedrock-{}-token-count"


def parse_usage(reported: Any, searches: int = 0) -> Usage | None:
    """Usage of a Converse usage object; None when it does not tell both what went in and what came out.

    `inputTokens` are fresh ones only: tokens read from a cache and written to one come on top. Each of these counts
    is told under two names. What was written for how long is told in `cacheDetails`, where it is. Reasoning is inside
    the output, and not told apart. `searches`, which the answer itself shows, are billed besides.
    """
    if not isinstance(reported, dict):
        return None
    fresh, output = token_count(reported, "inputTokens"), token_count(reported, "outputTokens")
    if fresh is None or output is None:
        return None
    written_5m, written_1h = _cache_writes(reported)
    return Usage(
        input=fresh,
        cache_read=_cached(reported, "cacheRead") or 0,
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
        output=output,
        search=searches,
    )


def parse_header_usage(headers: Mapping[str, str]) -> Usage | None:
    """Usage that the head of an answer with embeddings tells; None where it does not tell what went in.

    As in Converse's object, tokens read from a cache and written to one come on top of the input. What came out is no
    text, whatever count it has, and costs nothing.
    """
    fresh = _header_count(headers, "input")
    if fresh is None:
        return None
    return Usage(
        input=fresh,
        cache_read=_header_count(headers, "cache-read-input") or 0,
        cache_write_5m=_header_count(headers, "cache-write-input") or 0,
    )


def _header_count(headers: Mapping[str, str], what: str) -> int | None:
    text = headers.get(_COUNT_HEADER.format(what), "").strip()
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return token_count({what: int(text)}, what) if is_number else None


def is_unused(stopped: JsonObject, usage: Usage | None) -> bool:
    """Whether an answer is a guardrail's own words, which no model was asked for: its usage is nothing at all.

    `stopped` has the answer's `stopReason`.
    """
    return usage == NO_USAGE and stopped.get("stopReason") == _GUARDRAIL


def parse_service_tier(payload: JsonObject) -> str | None:
    """The class of service that an answer, or the metadata of a stream, says it is; None when it says none.

    Optimised latency, which has prices of its own, is one too, beside the ordinary tier.
    """
    tier = tier_of(payload)
    told = None if tier is None else canonical_tier(tier)
    performance = payload.get("performanceConfig")
    latency = performance.get("latency") if isinstance(performance, dict) else None
    return _OPTIMIZED if latency == _OPTIMIZED and not told else told


def tier_of(payload: JsonObject) -> str | None:
    """The provider's own word for the class of service, which is OpenAI's too; None when it says none."""
    reported = payload.get("serviceTier")
    tier = reported.get("type") if isinstance(reported, dict) else None
    return tier if isinstance(tier, str) else None


def _cache_writes(reported: JsonObject) -> tuple[int, int]:
    """Tokens written for five minutes and for an hour; what the details do not account for was for five minutes."""
    listed = reported.get("cacheDetails")
    details = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    counts = [(item.get("ttl"), token_count(item, "inputTokens") or 0) for item in details]
    total = _cached(reported, "cacheWrite")
    if total is None:
        total = sum(count for _, count in counts)
    for_1h = min(total, sum(count for ttl, count in counts if ttl == _HOUR))
    return total - for_1h, for_1h


def _cached(reported: JsonObject, what: str) -> int | None:
    count = token_count(reported, f"{what}InputTokens")
    return token_count(reported, f"{what}InputTokenCount") if count is None else count
