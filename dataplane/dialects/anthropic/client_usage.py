"""Usage as Anthropic's clients read it: what an OpenAI client would be told of the same answer."""

from dataplane.call import JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.hub import object_of
from dataplane.dialects.openai.usage import parse_usage
from tollway.kernel.usage import NO_USAGE, Usage


def told_usage(payload: JsonObject, frame: Frame) -> Usage | None:
    """What `payload`, which `frame` holds in the hub's format, tells of usage: what is billed may be something else.

    The hub has no word for how long cached tokens are kept, and some providers tell usage where the hub has none: that
    is taken from the frame. What comes on top of the prompt, by the total, is billed, but no client is told.
    """
    reported = {name: count for name, count in object_of(payload.get("usage")).items() if name != "total_tokens"}
    told, billed = parse_usage(reported), frame.usage
    if told is None or billed is None:
        return told or billed
    if told.cache_write_5m != billed.cache_write_5m + billed.cache_write_1h:
        return told
    return told._replace(cache_write_5m=billed.cache_write_5m, cache_write_1h=billed.cache_write_1h)


def render_usage(usage: Usage | None) -> JsonObject:
    """Anthropic's usage object: its input tokens are fresh ones only."""
    used = usage or NO_USAGE
    rendered: JsonObject = {
        "input_tokens": used.input + used.input_audio + used.input_image,
        "cache_creation_input_tokens": used.cache_write_5m + used.cache_write_1h,
        "cache_read_input_tokens": used.cache_read + used.cache_read_audio,
        "output_tokens": used.output_tokens,
    }
    if rendered["cache_creation_input_tokens"]:
        rendered["cache_creation"] = {
            "ephemeral_5m_input_tokens": used.cache_write_5m,
            "ephemeral_1h_input_tokens": used.cache_write_1h,
        }
    if used.reasoning:
        rendered["output_tokens_details"] = {"thinking_tokens": used.reasoning}
    return rendered
