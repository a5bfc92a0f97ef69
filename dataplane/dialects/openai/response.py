"""A complete answer in OpenAI's format: passed on as the bytes that came, read only for metering."""

from typing import Any

import orjson

from dataplane.dialects.base import Frame
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.dialects.openai.usage import parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind


def parse_result(body: bytes) -> Frame:
    """The answer as one frame. Raises UpstreamError when it is not a JSON object, or an error under a good status."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    if payload.get("error") and "choices" not in payload and "data" not in payload:
        raise parse_error_object(payload["error"])
    model = payload.get("model")
    return Frame(
        body,
        model=model if isinstance(model, str) else "",
        usage=parse_usage(payload.get("usage")),
        text_bytes=sum(_text_bytes(choice) for choice in payload.get("choices") or ()),
    )


def _text_bytes(choice: Any) -> int:
    """Bytes of generated text, reasoning and tool arguments in one choice of a complete answer."""
    if not isinstance(choice, dict):
        return 0
    message = choice.get("message")
    return delta_bytes(message) if isinstance(message, dict) else text_size(choice.get("text"))


def delta_bytes(message: dict[str, Any]) -> int:
    """Bytes of generated text, reasoning and tool arguments in a message or in a delta of one."""
    size = text_size(message.get("content")) + text_size(message.get("refusal"))
    size += text_size(message.get("reasoning_content") or message.get("reasoning"))
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            size += text_size(function.get("name")) + text_size(function.get("arguments"))
    return size


def text_size(text: Any) -> int:
    """UTF-8 bytes of `text`; 0 when it is not a string."""
    if isinstance(text, str):
        return len(text) if text.isascii() else len(text.encode())
    return 0
