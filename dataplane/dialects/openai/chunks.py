"""A complete answer told as a stream, for an upstream that does not stream when it is asked to."""

from collections.abc import Iterator
from typing import Any

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai.mending import fill_answer, mend_answer
from dataplane.dialects.openai.response import needed_members, note_usage, parse_answer
from dataplane.dialects.openai.stream import OpenAIStreamParser
from dataplane.errors import UpstreamError, UpstreamErrorKind


def parse_result_chunks(body: bytes, call: Call | None = None) -> list[Frame]:
    """The frames of a complete answer to `call`: for each choice its content and its end, then the usage.

    Raises UpstreamError as parse_result does, and when `body` holds no choice.
    """
    members = needed_members(call)
    payload = parse_answer(body, *members)
    try:
        return _frames(payload, call)
    except UpstreamError as error:
        note_usage(error, payload, members)
        raise


def _frames(payload: JsonObject, call: Call | None) -> list[Frame]:
    choices = payload.get("choices")
    choices = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    if not choices:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no choice.")
    mend_answer(payload, call)
    fill_answer(payload, choices, call)
    parser = OpenAIStreamParser(call)
    frames: list[Frame] = []
    try:
        for chunk in _chunks(payload, choices):
            frames += parser.feed(SseEvent("", orjson.dumps(chunk)))
    except orjson.JSONEncodeError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is nested too deep.") from error
    return frames


def _chunks(payload: JsonObject, choices: list[JsonObject]) -> Iterator[JsonObject]:
    usage = payload.get("usage")
    envelope = {name: value for name, value in payload.items() if name not in ("choices", "usage", "error")}
    is_chat = any("message" in choice for choice in choices)
    if is_chat:
        envelope["object"] = "chat.completion.chunk"
    nothing: JsonObject = {"delta": {}} if is_chat else {"text": ""}
    for choice in choices:
        begun: JsonObject = {"index": choice["index"], "finish_reason": None}
        ended = begun | {"logprobs": None, "finish_reason": choice["finish_reason"]}
        yield envelope | {"choices": [_begun(choice, is_chat) | begun]}
        yield envelope | {"choices": [nothing | ended]}
    if isinstance(usage, dict):
        yield envelope | {"choices": [], "usage": usage}


def _begun(choice: JsonObject, is_chat: bool) -> JsonObject:
    """`choice` with its message as a delta."""
    if not is_chat:
        return choice
    rest = {name: value for name, value in choice.items() if name != "message"}
    message = choice.get("message")
    return rest | {"delta": _delta(message) if isinstance(message, dict) else {}}


def _delta(message: JsonObject) -> JsonObject:
    """`message` with its tool calls numbered, as deltas have them."""
    calls: Any = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [{"index": at} | call if isinstance(call, dict) else call for at, call in enumerate(calls)]
    return message | {"tool_calls": numbered}
