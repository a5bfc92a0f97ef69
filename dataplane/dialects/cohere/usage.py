"""Cohere's usage object, normalised into disjoint meters, and told as the hub tells it."""

from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.hub import object_of, token_count
from tollway.kernel.usage import Usage

_MOST_TOKENS = 10**9


def parse_chat_usage(reported: Any) -> Usage | None:
    """Usage of a chat; None where `reported` does not tell both what went in and what came out.

    `tokens` is all that the model read and wrote, and what counts; `billed_units`, which leaves out what Cohere adds
    to a prompt, stands in where it is missing. Cached tokens are a part of the input, reasoning is one of the output.
    """
    fields = object_of(reported)
    counted = _counted(fields, "input_tokens", "output_tokens")
    went_in, came_out = token_count(counted, "input_tokens"), token_count(counted, "output_tokens")
    if went_in is None or came_out is None:
        return None
    cached = min(went_in, token_count(fields, "cached_tokens") or 0)
    reasoning = min(came_out, token_count(counted, "reasoning_tokens") or 0)
    return Usage(input=went_in - cached, cache_read=cached, output=came_out, reasoning=reasoning)


def parse_embedding_usage(meta: Any) -> Usage | None:
    """Usage of embeddings, of which only billed units are told; None where no tokens are."""
    counted = _counted(object_of(meta), "input_tokens")
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


def _counted(fields: JsonObject, *names: str) -> JsonObject:
    """The set of counts that tells all of `names`: `tokens`, else `billed_units`."""
    tokens = object_of(fields.get("tokens"))
    is_whole = all(token_count(tokens, name) is not None for name in names)
    return tokens if is_whole else object_of(fields.get("billed_units"))
