"""Cohere's usage objects, normalised into disjoint meters, and told as the hub tells them.

Cohere tells two sets of counts: `tokens` is all that a model read and wrote, which clients are told; `billed_units`
leaves out what Cohere adds to a prompt itself, and is what costs money.
"""

from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.hub import object_of, token_count
from tollway.kernel.usage import Usage


def parse_chat_usage(reported: Any) -> Usage | None:
    """Usage of a chat as it is billed; None where `reported` does not tell both what went in and what came out.

    Where no units are billed it is all that was counted. Cached tokens are billed as any others are; reasoning is a
    part of the output.
    """
    fields = object_of(reported)
    billed = _counts(object_of(fields.get("billed_units")))
    if billed is None:
        return parse_counted_usage(reported)
    went_in, came_out = billed
    return Usage(input=went_in, output=came_out, reasoning=_reasoning(fields, came_out))


def parse_counted_usage(reported: Any) -> Usage | None:
    """All that a chat's model read and wrote; None where `reported` does not tell both.

    `billed_units` stand in where it is missing. Cached tokens are a part of the input, reasoning is one of the output.
    """
    fields = object_of(reported)
    counted = _counts(object_of(fields.get("tokens"))) or _counts(object_of(fields.get("billed_units")))
    if counted is None:
        return None
    went_in, came_out = counted
    cached = min(went_in, token_count(fields, "cached_tokens") or 0)
    return Usage(input=went_in - cached, cache_read=cached, output=came_out, reasoning=_reasoning(fields, came_out))


def parse_embedding_usage(meta: Any) -> Usage | None:
    """Usage of embeddings as it is billed; None where no tokens are told."""
    counted = _embedded(object_of(meta))
    text, image = token_count(counted, "input_tokens"), token_count(counted, "image_tokens") or 0
    return None if text is None and not image else Usage(input=text or 0, input_image=image)


def parse_search_usage(meta: Any) -> Usage | None:
    """Search units of a ranking; None where they are not told."""
    units = token_count(object_of(object_of(meta).get("billed_units")), "search_units")
    return None if units is None else Usage(search=units)


def hub_usage(usage: Usage | None) -> JsonObject:
    """`usage` as OpenAI tells it: cached tokens inside the prompt, reasoning inside the completion; 0 for unknown."""
    known = usage or Usage()
    return {
        "prompt_tokens": known.input_tokens,
        "completion_tokens": known.output_tokens,
        "total_tokens": known.input_tokens + known.output_tokens,
        "prompt_tokens_details": {"cached_tokens": known.cache_read, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": known.reasoning},
    }


def _counts(told: JsonObject) -> tuple[int, int] | None:
    """What went in and what came out, of a set of counts that tells both."""
    went_in, came_out = token_count(told, "input_tokens"), token_count(told, "output_tokens")
    return None if went_in is None or came_out is None else (went_in, came_out)


def _reasoning(fields: JsonObject, came_out: int) -> int:
    """Those of the `came_out` tokens that were reasoning, which is told among all that was counted."""
    return min(came_out, token_count(object_of(fields.get("tokens")), "reasoning_tokens") or 0)


def _embedded(meta: JsonObject) -> JsonObject:
    """The set of counts that tells what was embedded: what is billed, where it is told."""
    billed = object_of(meta.get("billed_units"))
    is_told = any(token_count(billed, name) is not None for name in ("input_tokens", "image_tokens"))
    return billed if is_told else object_of(meta.get("tokens"))
