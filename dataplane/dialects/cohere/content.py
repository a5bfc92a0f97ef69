"""Messages of the hub as Cohere takes them: text, images by URL, calls of functions, and their results."""

from collections.abc import Callable
from typing import Any

import orjson

from dataplane.call import JsonObject
from dataplane.errors import InvalidRequest

_IMAGE_DETAILS = ("auto", "low", "high")

_PartRender = Callable[[JsonObject, str], JsonObject]


def render_messages(messages: Any) -> list[JsonObject]:
    """`messages` in Cohere's form. Raises InvalidRequest for content that it cannot say, or that is malformed."""
    if not isinstance(messages, list):
        raise invalid('The field "messages" must be a list.', "messages")
    return [_message(message, f"messages[{at}]") for at, message in enumerate(messages)]


def invalid(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_value", param=param)


def unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, code="unsupported_content", param=param)


def _message(message: Any, param: str) -> JsonObject:
    if not isinstance(message, dict):
        raise invalid(f'The field "{param}" must be an object.', param)
    match message.get("role"):
        case "system" | "developer":
            return {"role": "system", "content": _content(message, param, _text_part)}
        case "user":
            return {"role": "user", "content": _content(message, param, _user_part)}
        case "assistant":
            return _assistant(message, param)
        case "tool":
            return _tool_result(message, param)
        case role:
            shown = role if isinstance(role, str) else "no"
            raise unsupported(f'The upstream takes no message of role "{shown}".', f"{param}.role")


def _content(message: JsonObject, param: str, render_part: _PartRender) -> str | list[JsonObject]:
    """The content of a message: its text, or its parts, each as `render_part` has it."""
    content, param = message.get("content"), f"{param}.content"
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise invalid(f'The field "{param}" must be a string or a list of parts.', param)
    return [_part(part, f"{param}[{at}]", render_part) for at, part in enumerate(content)]


def _part(part: Any, param: str, render_part: _PartRender) -> JsonObject:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise invalid(f'The field "{param}" must be an object.', param)
    return render_part(part, param)


def _text_part(part: JsonObject, param: str) -> JsonObject:
    if part.get("type") in ("text", "input_text", "output_text", None):
        if not isinstance(part.get("text"), str):
            raise invalid(f'The field "{param}.text" must be a string.', f"{param}.text")
        return {"type": "text", "text": part["text"]}
    raise unsupported(f'The upstream takes no content of type "{part.get("type")}" here.', param)


def _user_part(part: JsonObject, param: str) -> JsonObject:
    return _image_part(part, param) if part.get("type") == "image_url" else _text_part(part, param)


def _image_part(part: JsonObject, param: str) -> JsonObject:
    """An image, by URL or as a data URI; both are sent as they are."""
    image = part.get("image_url")
    fields = image if isinstance(image, dict) else {"url": image}
    url, detail = fields.get("url"), fields.get("detail")
    if not isinstance(url, str) or not url:
        raise invalid(f'The field "{param}.image_url.url" must be a string.', f"{param}.image_url.url")
    shown: JsonObject = {"url": url}
    if detail in _IMAGE_DETAILS:
        shown["detail"] = detail
    return {"type": "image_url", "image_url": shown}


def _assistant(message: JsonObject, param: str) -> JsonObject:
    """A turn of the model's. Its reasoning was the plan of its calls, or a block of thinking before its text."""
    content = _content(message, param, _assistant_part)
    calls, reasoning = _calls(message.get("tool_calls"), f"{param}.tool_calls"), _reasoning(message)
    if calls:
        plan = message.get("tool_plan") or reasoning
        rendered: JsonObject = {"role": "assistant", "tool_calls": calls}
        if isinstance(plan, str) and plan:
            rendered["tool_plan"] = plan
        if content:
            rendered["content"] = content
        return rendered
    if reasoning:
        said = [{"type": "text", "text": content}] if isinstance(content, str) else content
        content = [{"type": "thinking", "thinking": reasoning}, *(part for part in said if part["text"])]
    return {"role": "assistant", "content": content}


def _assistant_part(part: JsonObject, param: str) -> JsonObject:
    if part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"]}
    return _text_part(part, param)


def _reasoning(message: JsonObject) -> str:
    """The reasoning that an earlier turn gave, in whichever form the client kept it."""
    for name in ("reasoning_content", "reasoning"):
        text = message.get(name)
        if isinstance(text, str) and text:
            return text
    for name, member in (("thinking_blocks", "thinking"), ("reasoning_details", "text")):
        blocks = message.get(name)
        texts = [block.get(member) for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
        joined = "\n".join(text for text in texts if isinstance(text, str) and text)
        if joined:
            return joined
    return ""


def _calls(calls: Any, param: str) -> list[JsonObject]:
    if not calls:
        return []
    if not isinstance(calls, list):
        raise invalid(f'The field "{param}" must be a list.', param)
    return [_call(call, f"{param}[{at}]") for at, call in enumerate(calls)]


def _call(call: Any, param: str) -> JsonObject:
    if not isinstance(call, dict):
        raise invalid(f'The field "{param}" must be an object.', param)
    function = call.get("function")
    if call.get("type", "function") != "function":
        raise unsupported(f'The upstream takes no call of type "{call.get("type")}".', f"{param}.type")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f'The field "{param}.function.name" must be a string.', f"{param}.function.name")
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    return {
        "id": _id(call.get("id"), f"{param}.id"),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _tool_result(message: JsonObject, param: str) -> JsonObject:
    return {
        "role": "tool",
        "tool_call_id": _id(message.get("tool_call_id"), f"{param}.tool_call_id"),
        "content": _content(message, param, _result_part),
    }


def _result_part(part: JsonObject, param: str) -> JsonObject:
    """Text, or a document of Cohere's own kind, which it can cite."""
    if part.get("type") == "document" and isinstance(part.get("document"), dict):
        return {"type": "document", "document": part["document"]}
    return _text_part(part, param)


def _id(value: Any, param: str) -> str:
    if not isinstance(value, str) or not value:
        raise invalid(f'The field "{param}" must be a string.', param)
    return value
