"""Anthropic's usage object, normalised into disjoint meters: what the answer used, and all that is billed for it."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import count_of, list_of, object_of, text_of, token_count
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Usage

_FAST: Final = "fast"
_US: Final = "us"
_INPUT: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_ANSWER, _FALLBACK = "message", "fallback_message"
_BESIDE: Final = ("compaction", "advisor_message")
"""Iterations that no answer's totals have in them."""


def merged_usage(reported: JsonObject, more: Any) -> JsonObject:
    """`reported`, overruled by what a later event of the same stream says; what that leaves out, or null, stays.

    A later event that counts nothing that went in does not know it: all of its input together is told, or none.
    """
    if not isinstance(more, dict):
        return reported
    has_input = any(count_of(more, name) for name in _INPUT)
    told = {name: value for name, value in more.items() if value is not None and (has_input or name not in _INPUT)}
    return {**reported, **told}


def begun_usage(message: JsonObject) -> JsonObject:
    """What the first event of a stream says: of the output it knows nothing yet, unless the message has ended in it."""
    reported = object_of(message.get("usage"))
    if "output_tokens" not in reported:
        return {}
    return reported if message.get("stop_reason") else {**reported, "output_tokens": 0}


def parse_usage(reported: Any) -> Usage | None:
    """All that is billed by an Anthropic usage object; None when `reported` does not tell what came out.

    The totals are the answer's own. What an advisor and the summing up of a long conversation used, and what another
    model had said before it declined, is told in `iterations` alone: https://platform.claude.com/docs, "Compaction",
    "Advisor tool" and "Refusals and fallback". It is metered as the answer's, whatever model it is of.
    """
    answer = answer_usage(reported)
    if answer is None or not reported.get("iterations"):
        return answer
    parts = [answer, *map(_meters, _iterations_beside(reported))]
    return Usage(*map(sum, zip(*parts, strict=True)))


def answer_usage(reported: Any) -> Usage | None:
    """What the answer itself used, as clients are told; None when `reported` does not tell what came out.

    `input_tokens` are fresh ones only, `output_tokens` include thinking.
    """
    return _meters(reported) if token_count(object_of(reported), "output_tokens") is not None else None


def parse_service_tier(reported: Any) -> str | None:
    """The class of service that a usage object says the answer had; None when it says none.

    Fast mode is one, and so is inference in the United States alone, which has prices of its own: "us", behind any
    other one ("fast-us").
    """
    if not isinstance(reported, dict):
        return None
    told = reported.get("service_tier")
    tier = canonical_tier(told) if isinstance(told, str) else None
    if reported.get("speed") == _FAST:
        tier = _FAST
    if reported.get("inference_geo") == _US:
        tier = f"{tier}-{_US}" if tier else _US
    return tier


def _iterations_beside(reported: JsonObject) -> list[JsonObject]:
    """Iterations that are billed and that the totals do not have in them."""
    iterations = [part for part in list_of(reported.get("iterations")) if isinstance(part, dict)]
    beside = [part for part in iterations if part.get("type") in _BESIDE]
    return beside + _declined([part for part in iterations if part.get("type") in (_ANSWER, _FALLBACK)], reported)


def _declined(attempts: list[JsonObject], reported: JsonObject) -> list[JsonObject]:
    """Those of `attempts` that are of models which declined; one that had said nothing is not billed.

    The last of them is the answer's.
    """
    is_apart = sum(count_of(part, "output_tokens") for part in attempts) > count_of(reported, "output_tokens")
    if not is_apart or attempts[-1].get("type") != _FALLBACK:
        return []
    answering = text_of(attempts[-1].get("model"))
    others = [part for part in attempts if text_of(part.get("model")) not in ("", answering)]
    heard = {text_of(part.get("model")) for part in others if count_of(part, "output_tokens")}
    return [part for part in others if text_of(part.get("model")) in heard]


def _meters(reported: JsonObject) -> Usage:
    """The meters of a usage object, or of one iteration of it."""
    for_5m, for_1h = _cache_writes(reported)
    output = count_of(reported, "output_tokens")
    return Usage(
        input=count_of(reported, "input_tokens"),
        cache_read=count_of(reported, "cache_read_input_tokens"),
        cache_write_5m=for_5m,
        cache_write_1h=for_1h,
        output=output,
        reasoning=min(output, count_of(object_of(reported.get("output_tokens_details")), "thinking_tokens")),
        search=count_of(object_of(reported.get("server_tool_use")), "web_search_requests"),
    )


def _cache_writes(reported: JsonObject) -> tuple[int, int]:
    """Tokens written for five minutes and for an hour. The split may be an earlier event's: the total counts."""
    split = object_of(reported.get("cache_creation"))
    for_5m, for_1h = count_of(split, "ephemeral_5m_input_tokens"), count_of(split, "ephemeral_1h_input_tokens")
    total = token_count(reported, "cache_creation_input_tokens")
    if total is None:
        return for_5m, for_1h
    for_1h = total if for_1h and not for_5m else min(total, for_1h)
    return total - for_1h, for_1h
