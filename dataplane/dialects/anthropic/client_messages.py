"""The conversation of a Messages request, as clients send it, as the hub's messages.

Content that the hub has no form for raises InvalidRequest, and so does what is malformed.
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.client_content import content_of, parts_of, text_parts, unsupported_block
from dataplane.dialects.anthropic.client_errors import invalid
from dataplane.dialects.anthropic.client_fields import blocks_at, items_at, marker_of, object_at, text_at
from dataplane.dialects.anthropic.client_result import CLAUDE_REASONING, unsealed

_ERROR: Final = "Error"


def system_messages(body: JsonObject) -> list[JsonObject]:
    """The message that the `system` of a body is; none without one."""
    content = body.get("system")
    return [{"role": "system", "content": _system_content(content, "system")}] if content else []


def _system_content(content: Any, param: str) -> str | list[JsonObject]:
    parts = [part for where, block in blocks_at(content, param) for part in text_parts(block, where)]
    return content_of(parts)


def conversation(body: JsonObject) -> Iterator[JsonObject]:
    """The messages of a body, in order."""
    messages = items_at(body.get("messages"), "messages")
    if not messages:
        raise invalid("messages", "a list of at least one message")
    for at, value in enumerate(messages):
        param = f"messages.{at}"
        message = object_at(value, param)
        content = message.get("content")
        match message.get("role"):
            case "user":
                yield from _user_messages(content, f"{param}.content")
            case "assistant":
                yield _assistant_message(content, f"{param}.content")
            case "system":
                yield {"role": "system", "content": _system_content(content, f"{param}.content")}
            case _:
                raise invalid(f"{param}.role", '"user" or "assistant"')


def _user_messages(content: Any, param: str) -> list[JsonObject]:
    """A message for each tool's result, then one for the rest: what the tools gave besides text, and the user's own."""
    messages: list[JsonObject] = []
    parts: list[JsonObject] = []
    for where, block in blocks_at(content, param):
        if block["type"] == "tool_result":
            message, media = _tool_message(block, where)
            messages.append(message)
            parts += media
        else:
            parts += parts_of(block, where)
    if parts or not messages:
        messages.append({"role": "user", "content": content_of(parts)})
    return messages


def _tool_message(block: JsonObject, param: str) -> tuple[JsonObject, list[JsonObject]]:
    """The message of a tool's result, and the images and files of it, which have no place there."""
    call_id = text_at(block.get("tool_use_id"), f"{param}.tool_use_id")
    content = block.get("content")
    inner = [] if content is None else blocks_at(content, f"{param}.content")
    parts = [part for where, item in inner for part in parts_of(item, where)]
    texts = [part for part in parts if part["type"] == "text"]
    if block.get("is_error") is True:
        texts = _as_error(texts)
    message = {"role": "tool", "tool_call_id": call_id, "content": content_of(texts), **marker_of(block)}
    return message, [part for part in parts if part["type"] != "text"]


def _as_error(texts: list[JsonObject]) -> list[JsonObject]:
    """The texts of a result that is an error, which the hub can only tell in words."""
    if not texts:
        return [{"type": "text", "text": _ERROR}]
    first, *others = texts
    if first["text"].lower().startswith(_ERROR.lower()):
        return texts
    return [first | {"text": f"{_ERROR}: {first['text']}"}, *others]


def _assistant_message(content: Any, param: str) -> JsonObject:
    """The message of an assistant; the marker of a tool's use, which has no place there, is the whole message's."""
    texts: list[JsonObject] = []
    calls: list[JsonObject] = []
    details: list[JsonObject] = []
    marker: JsonObject = {}
    for where, block in blocks_at(content, param):
        match block["type"]:
            case "text":
                texts += text_parts(block, where)
            case "connector_text":
                texts.append({"type": "text", "text": text_at(block.get("connector_text"), f"{where}.connector_text")})
            case "tool_use":
                calls.append(_tool_call(block, where))
                marker |= marker_of(block)
            case "thinking":
                details.append(_thinking_detail(block, where))
            case "redacted_thinking":
                details.append(_redacted_detail(block, where))
            case kind:
                raise unsupported_block(kind, where)
    message: JsonObject = {"role": "assistant", "content": content_of(texts) if texts or not calls else None, **marker}
    reasoning = "".join(_detail_text(detail) for detail in details)
    if reasoning:
        message["reasoning_content"] = reasoning
    if kept := [detail for detail in details if "tool_call_id" not in detail]:
        message["reasoning_details"] = kept
    extras = {detail["tool_call_id"]: detail for detail in details if isinstance(detail.get("tool_call_id"), str)}
    if calls:
        message["tool_calls"] = [call | _extra(extras.get(call["id"], {})) for call in calls]
    return message


def _detail_text(detail: JsonObject) -> str:
    text = detail.get("text") or detail.get("summary")
    return text if isinstance(text, str) else ""


def _extra(detail: JsonObject) -> JsonObject:
    """What the provider of a tool call wants back with it."""
    return {name: detail[name] for name in ("extra_content",) if name in detail}


def _thinking_detail(block: JsonObject, param: str) -> JsonObject:
    """The reasoning detail that a thinking block was, with all that it was sealed with."""
    text = text_at(block.get("thinking"), f"{param}.thinking")
    signature = "" if block.get("signature") is None else text_at(block["signature"], f"{param}.signature")
    sealed = unsealed(signature)
    if sealed is not None:
        return sealed | {"summary" if sealed.get("type") == "reasoning.summary" else "text": text}
    detail: JsonObject = {"type": "reasoning.text", "text": text, "format": CLAUDE_REASONING}
    return detail | {"signature": signature} if signature else detail


def _redacted_detail(block: JsonObject, param: str) -> JsonObject:
    data = text_at(block.get("data"), f"{param}.data")
    return unsealed(data) or {"type": "reasoning.encrypted", "data": data, "format": CLAUDE_REASONING}


def _tool_call(block: JsonObject, param: str) -> JsonObject:
    arguments = object_at(block.get("input"), f"{param}.input")
    try:
        encoded = orjson.dumps(arguments).decode()
    except orjson.JSONEncodeError as error:
        raise invalid(f"{param}.input", "JSON of moderate depth and size of numbers") from error
    function = {"name": text_at(block.get("name"), f"{param}.name"), "arguments": encoded}
    return {"id": text_at(block.get("id"), f"{param}.id"), "type": "function", "function": function}
