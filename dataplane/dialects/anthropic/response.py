"""Complete answers of the Messages API: translated into the hub's format, or passed on as they came."""

from typing import Any

from dataplane.call import HUB, Call, JsonObject
from dataplane.dialects.anthropic.answer import (
    TEXT_OF,
    annotations,
    envelope,
    finish_reason,
    model_of,
    openai_tier,
    refusal_of,
)
from dataplane.dialects.anthropic.errors import parse_error_object
from dataplane.dialects.anthropic.events import objects_of
from dataplane.dialects.anthropic.reasoning import redacted_detail, signed_detail
from dataplane.dialects.anthropic.request import COUNT_TOKENS
from dataplane.dialects.anthropic.usage import answer_usage, parse_service_tier, parse_usage
from dataplane.dialects.base import Frame
from dataplane.dialects.claude import answer_tool_name
from dataplane.dialects.hub import text_of, usage_object
from dataplane.dialects.openai.content import text_bytes
from dataplane.dialects.openai.mending import encode, tool_call
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import NO_USAGE

_TEXTS = ("text", "thinking", "connector_text")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


def parse_result(call: Call, body: bytes) -> Frame:
    """The answer as one frame, in the format of `call`. Raises UpstreamError when it is not one."""
    if call.endpoint.name == COUNT_TOKENS:
        return _parse_count(call, body)
    message = parse_message(body)
    data = encode(_answer(call, message)) if call.endpoint.format == HUB else body
    usage = message.get("usage")
    return Frame(
        data,
        model=model_of(message),
        usage=parse_usage(usage),
        text_bytes=sum([block_bytes(block) for block in message["content"]]),
        service_tier=parse_service_tier(usage),
        format=call.endpoint.format,
    )


def parse_message(body: bytes) -> JsonObject:
    """The message that a complete answer is; its `content` is a list of objects. Raises UpstreamError for others."""
    message = _parse_object(body)
    content = message.get("content")
    if not isinstance(content, list):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no content.")
    return {**message, "content": objects_of(content)}


def block_bytes(block: JsonObject) -> int:
    """UTF-8 bytes of what was generated in one block: text, thinking, and the names and inputs of tool uses."""
    size = sum(text_bytes(block.get(name)) for name in _TEXTS)
    if block.get("type") in _CALLS:
        size += text_bytes(block.get("name"))
        size += len(encode(block["input"])) if block.get("input") else 0
    return size


def _parse_object(body: bytes) -> JsonObject:
    try:
        payload = parse_payload(body)
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    if payload.get("type") == "error" or (payload.get("error") and "content" not in payload):
        raise parse_error_object(payload)
    return payload


def _parse_count(call: Call, body: bytes) -> Frame:
    """How many tokens a request has; counting them costs nothing."""
    count = _parse_object(body).get("input_tokens")
    if not isinstance(count, int) or isinstance(count, bool):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no count of tokens.")
    data = encode({"input_tokens": count}) if call.endpoint.format == HUB else body
    return Frame(data, usage=NO_USAGE, format=call.endpoint.format)


def _answer(call: Call, message: JsonObject) -> JsonObject:
    said = _Message(call)
    for block in message["content"]:
        said.add(block)
    choice = {
        "index": 0,
        "message": said.finish(refusal_of(message)),
        "logprobs": None,
        "finish_reason": finish_reason(message.get("stop_reason"), bool(said.calls)),
    }
    answer = {**envelope(call, message, "chat.completion"), "choices": [choice]}
    usage = answer_usage(message.get("usage"))
    if usage is not None:
        answer["usage"] = usage_object(usage)
    tier = openai_tier(message.get("usage"))
    return answer if tier is None else {**answer, "service_tier": tier}


class _Message:
    """An OpenAI message under construction."""

    def __init__(self, call: Call) -> None:
        self.calls: list[JsonObject] = []
        self._call = call
        self._answer_tool = answer_tool_name(call.body)
        self._ids: set[str] = set()
        self._text = ""
        self._reasoning = ""
        self._details: list[JsonObject] = []
        self._annotations: list[JsonObject] = []

    def add(self, block: JsonObject) -> None:
        """Reads one block; the uses and results of tools that the provider runs itself are left out."""
        match block.get("type"):
            case "text" | "connector_text" as kind:
                start = len(self._text)
                self._text += text_of(block.get(TEXT_OF[kind]))
                self._annotations += annotations(block.get("citations"), start, len(self._text))
            case "tool_use":
                self._add_use(block)
            case "thinking":
                self._reasoning += text_of(block.get("thinking"))
                if signature := text_of(block.get("signature")):
                    self._details.append(signed_detail(text_of(block.get("thinking")), signature, len(self._details)))
            case "redacted_thinking":
                if data := text_of(block.get("data")):
                    self._details.append(redacted_detail(data, len(self._details)))

    def finish(self, refusal: str | None) -> JsonObject:
        """The message; its content is null where it has nothing but calls, or a refusal."""
        content = self._text if self._text or not (self.calls or refusal) else None
        message: JsonObject = {"role": "assistant", "content": content, "refusal": refusal}
        optional: dict[str, Any] = {
            "reasoning_content": self._reasoning,
            "reasoning_details": self._details,
            "annotations": self._annotations,
            "tool_calls": self.calls,
        }
        return message | {name: value for name, value in optional.items() if value}

    def _add_use(self, block: JsonObject) -> None:
        arguments = encode(block.get("input") or {}).decode()
        if self._answer_tool is not None and block.get("name") == self._answer_tool:
            self._text += arguments
            return
        identity, name = text_of(block.get("id")), text_of(block.get("name"))
        self.calls.append(tool_call(self._call, identity, name, arguments, self._ids))
