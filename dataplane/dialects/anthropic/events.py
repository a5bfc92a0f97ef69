"""Events of the Messages API's streams: read, and made of a complete message for an upstream that does not stream."""

from collections.abc import Iterator
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.errors import parse_error_object
from dataplane.dialects.base import SseEvent
from dataplane.dialects.hub import list_of, object_of
from dataplane.dialects.openai.mending import encode
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind

_DONE: Final = b"[DONE]"
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")


def parse_event(event: SseEvent) -> JsonObject | None:
    """The object of `event`, with its `type`; None for a blank one and for an end mark, which are not of this format.

    Raises UpstreamError for an error, and for what is not an object.
    """
    try:
        payload = parse_payload(event.data)
    except ValueError as error:
        if not event.data.strip() or event.data.startswith(_DONE):
            return None
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent an event that is not JSON.") from error
    if event.event == "error":
        raise parse_error_object(payload)
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent an event that is not a JSON object.")
    if not isinstance(payload.get("type"), str):
        payload["type"] = event.event
    if payload["type"] == "error" or (payload.get("error") and not event.event and not payload["type"]):
        raise parse_error_object(payload)
    return payload


def check_ended(has_begun: bool, is_over: bool) -> None:
    """Raises UpstreamError when a stream has ended before its message did."""
    if not has_begun:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's stream holds no answer.")
    if not is_over:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.")


def has_ended(payload: JsonObject) -> bool:
    """Whether a message_delta says why the message ended."""
    return bool(object_of(payload.get("delta")).get("stop_reason"))


def objects_of(content: Any) -> list[JsonObject]:
    """The blocks in `content`: those of its items that are objects."""
    return [block for block in list_of(content) if isinstance(block, dict)]


def message_events(message: JsonObject) -> Iterator[SseEvent]:
    """The events by which `message`, whose content is a list of objects, would have been streamed."""
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield _event("message_start", {"message": begun})
    yield from content_events(message["content"])
    ended = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details") if name in message}
    yield _event("message_delta", {"delta": ended, "usage": message.get("usage") or {}})
    yield _event("message_stop", {})


def content_events(content: list[JsonObject]) -> Iterator[SseEvent]:
    """The events by which the blocks of `content` would have been streamed."""
    for index, block in enumerate(content):
        empty, deltas = _pieces(block)
        yield _event("content_block_start", {"index": index, "content_block": empty})
        for delta in deltas:
            yield _event("content_block_delta", {"index": index, "delta": delta})
        yield _event("content_block_stop", {"index": index})


def _pieces(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """A block as it begins, and the deltas that complete it."""
    kind = block.get("type")
    if kind == "text":
        deltas = [{"type": "text_delta", "text": block.get("text")}]
        deltas += [{"type": "citations_delta", "citation": citation} for citation in list_of(block.get("citations"))]
        return {"type": "text", "text": ""}, deltas
    if kind == "thinking":
        signature = {"type": "signature_delta", "signature": block.get("signature")}
        deltas = [{"type": "thinking_delta", "thinking": block.get("thinking")}, signature]
        return {**block, "thinking": "", "signature": ""}, deltas
    if kind in _CALLS:
        text = encode(block.get("input") or {}).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []


def _event(name: str, members: JsonObject) -> SseEvent:
    return SseEvent(name, encode({"type": name, **members}))
