"""Complete answers of Bedrock, translated into the hub's format."""

from collections.abc import Mapping
from typing import Final

from dataplane.call import COUNT_TOKENS, Call, JsonObject
from dataplane.dialects.base import NO_HEADERS, Frame, SseEvent
from dataplane.dialects.bedrock.answer import delta_bytes, envelope, invoked_model, parse_answer, parse_message
from dataplane.dialects.bedrock.blocks import BlockTranslator
from dataplane.dialects.bedrock.embeddings import EMBEDDINGS, parse_embeddings
from dataplane.dialects.bedrock.errors import parse_error_object
from dataplane.dialects.bedrock.rerank import RERANK, parse_rerank
from dataplane.dialects.bedrock.stream import BedrockStreamParser
from dataplane.dialects.bedrock.usage import is_unused, parse_service_tier, parse_usage, tier_of
from dataplane.dialects.hub import token_count, usage_object
from dataplane.dialects.openai.mending import encode
from tollway.kernel.usage import NO_USAGE

_FIELDS: Final = "additionalModelResponseFields"
_ENDS: Final = {
    "messageStop": ("stopReason", _FIELDS),
    "metadata": ("usage", "serviceTier", "performanceConfig", "trace"),
}


def parse_result(call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
    """The answer as one frame. Raises UpstreamError when it is none."""
    if call.endpoint.name == EMBEDDINGS:
        return parse_embeddings(call, body, headers)
    payload = parse_answer(body)
    if call.endpoint.name == RERANK:
        return parse_rerank(call, payload)
    return _parse_count(payload) if call.endpoint.name == COUNT_TOKENS else _parse_converse(call, payload)


def parse_result_chunks(call: Call, body: bytes) -> list[Frame]:
    """A complete answer as the frames of a stream. Raises UpstreamError when it is none."""
    payload = parse_answer(body)
    parser = BedrockStreamParser(call)
    frames = list(parser.feed(SseEvent("messageStart", b'{"role":"assistant"}')))
    frames += parser.feed_blocks(parse_message(payload))
    for name, members in _ENDS.items():
        told = {member: payload[member] for member in members if member in payload}
        frames += parser.feed(SseEvent(name, encode(told)))
    return frames


def _parse_converse(call: Call, payload: JsonObject) -> Frame:
    blocks = parse_message(payload)
    translator = BlockTranslator(call)
    deltas = [delta for index, block in enumerate(blocks) for delta in translator.whole(index, block)]
    owed, finish = translator.finish(payload.get("stopReason"))
    deltas += owed
    usage = parse_usage(payload.get("usage"), translator.searches)
    choice = {"index": 0, "message": _folded(deltas), "logprobs": None, "finish_reason": finish}
    answer: JsonObject = {**envelope(call, "chat.completion"), "choices": [choice]}
    if usage is not None:
        answer["usage"] = usage_object(usage)
    if (tier := tier_of(payload)) is not None:
        answer["service_tier"] = tier
    answer |= {name: payload[name] for name in ("trace", _FIELDS) if payload.get(name) is not None}
    return Frame(
        encode(answer),
        model=invoked_model(payload),
        usage=usage,
        text_bytes=0 if is_unused(payload, usage) else sum(map(delta_bytes, deltas)),
        service_tier=parse_service_tier(payload),
    )


def _folded(deltas: list[JsonObject]) -> JsonObject:
    """The message that `deltas` add up to."""
    content = "".join(delta["content"] for delta in deltas if "content" in delta)
    reasoning = "".join(delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta)
    details = [detail for delta in deltas for detail in delta.get("reasoning_details", ())]
    notes = [note for delta in deltas for note in delta.get("annotations", ())]
    calls: list[JsonObject] = []
    for piece in [piece for delta in deltas for piece in delta.get("tool_calls", ())]:
        if "id" in piece:
            calls.append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
        else:
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    message: JsonObject = {"role": "assistant", "content": content if content or not calls else None, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    if notes:
        message["annotations"] = notes
    return message


def _parse_count(payload: JsonObject) -> Frame:
    """How many tokens a call would take; counting uses none."""
    tokens = token_count(payload, "inputTokens")
    if tokens is None:
        raise parse_error_object(payload)
    return Frame(encode({"input_tokens": tokens}), usage=NO_USAGE)
