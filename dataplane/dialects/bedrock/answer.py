"""What answers, whole and streamed, have in common: words and ids as OpenAI's answers have them."""

from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.bedrock.errors import parse_error_object
from dataplane.dialects.hub import object_of, text_of
from dataplane.dialects.openai.content import text_bytes
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind

_FINISH_OF_STOP: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def envelope(call: Call, kind: str) -> JsonObject:
    """The members that each answer to `call`, or each chunk of it, begins with: Bedrock tells neither id nor model."""
    return {
        "id": f"chatcmpl-{call.request_id}",
        "object": kind,
        "created": call.start_time_us // 1_000_000,
        "model": call.model,
    }


def finish_reason(stop_reason: Any, has_calls: bool) -> str:
    """OpenAI's word for why an answer ended; the client's own tools are called where it ended of itself."""
    cut = _FINISH_OF_STOP.get(stop_reason) if isinstance(stop_reason, str) else None
    return cut or ("tool_calls" if has_calls else "stop")


def invoked_model(payload: JsonObject) -> str:
    """The model that a prompt router chose, as the trace tells; "" where it tells none."""
    router = object_of(object_of(payload.get("trace")).get("promptRouter"))
    return text_of(router.get("invokedModelId")).rpartition("/")[2]


def delta_bytes(delta: JsonObject) -> int:
    """UTF-8 bytes of what the model generated in `delta`: text, reasoning, names and arguments of calls."""
    size = text_bytes(delta.get("content")) + text_bytes(delta.get("reasoning_content"))
    for call in delta.get("tool_calls") or ():
        size += text_bytes(call["function"].get("name")) + text_bytes(call["function"].get("arguments"))
    return size


def parse_answer(body: bytes) -> JsonObject:
    """The object that a complete answer is. Raises UpstreamError when it is none."""
    try:
        payload = parse_payload(body)
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    return payload


def parse_message(payload: JsonObject) -> list[JsonObject]:
    """The content blocks of a complete answer. Raises UpstreamError when it holds no message."""
    message = object_of(payload.get("output")).get("message")
    if not isinstance(message, dict):
        raise parse_error_object(payload)
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
