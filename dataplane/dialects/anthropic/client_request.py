"""Anthropic's Messages requests in the hub's format.

What Anthropic alone has a word for stays in the hub's body where another dialect may know it too: `thinking`, `top_k`
and the cache_control markers. Other settings of Anthropic's own are dropped; content that the hub has no form for is
refused, and so are tools that Anthropic itself runs or defines.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import orjson

from dataplane.call import Call, Endpoint, JsonObject
from dataplane.dialects.anthropic.client_errors import invalid, unsupported
from dataplane.dialects.anthropic.client_result import CLAUDE_REASONING, unsealed
from dataplane.dialects.hub import list_of

_CHAT: Final = Endpoint("chat_completions", "/v1/messages", "chat", True)
_COUNT_TOKENS: Final = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False)
_LOW_BUDGET, _MEDIUM_BUDGET = 4_096, 16_384
_EFFORTS: Final = {"max": "xhigh"}
_SERVICE_TIERS: Final = {"standard_only": "default"}
_TOOL_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Users that every provider takes: OpenAI's are the shortest."""
_NO_NAME_CHARACTER: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH, _SHOWN_CHARACTERS = 64, 64
_SCHEMA_FORM: Final = 'an object with the type "json_schema" and a schema'
_ERROR: Final = "Error"


def parse_request(call: Call) -> Call:
    """`call` in the hub's format. Raises InvalidRequest naming the field that has no form there, or none at all."""
    endpoint = _COUNT_TOKENS if call.endpoint.name == "count_tokens" else _CHAT
    return replace(call, body=_hub_body(call.body), endpoint=endpoint)


def _hub_body(body: JsonObject) -> JsonObject:
    if body.get("mcp_servers"):
        raise unsupported("mcp_servers", "MCP servers")
    return {
        **({"model": _text(body["model"], "model")} if "model" in body else {}),
        "messages": [*_system(body), *_messages(body)],
        **_tools(body),
        **_limits(body),
        **_sampling(body),
        **_reasoning(body),
        **_response_format(body),
    }


def _limits(body: JsonObject) -> JsonObject:
    """What bounds the answer and how it is served. `max_tokens` keeps its name, which most providers take."""
    settings: JsonObject = {}
    limit, stops = body.get("max_tokens"), body.get("stop_sequences")
    if limit is not None:
        if type(limit) is not int or limit < 1:
            raise invalid("max_tokens", "a whole number above 0")
        settings["max_tokens"] = limit
    if stops is not None and _items(stops, "stop_sequences"):
        settings["stop"] = [_text(stop, f"stop_sequences.{at}") for at, stop in enumerate(stops)]
    if body.get("stream") is not None:
        if not isinstance(body["stream"], bool):
            raise invalid("stream", "true or false")
        settings["stream"] = body["stream"]
    if body.get("service_tier") is not None:
        tier = _text(body["service_tier"], "service_tier")
        settings["service_tier"] = _SERVICE_TIERS.get(tier, tier)
    user = _member(body, "metadata").get("user_id")
    if user is not None:
        settings["user"] = _user(_text(user, "metadata.user_id"))
    return settings | _marker(body)


def _sampling(body: JsonObject) -> JsonObject:
    settings = {name: body[name] for name in ("temperature", "top_p", "top_k") if body.get(name) is not None}
    for name, value in settings.items():
        if type(value) not in (int, float):
            raise invalid(name, "a number")
    return settings


def _user(user: str) -> str:
    """`user`, or what is as good to tell users apart by where some provider would refuse it."""
    return user if _USER.fullmatch(user) else hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _reasoning(body: JsonObject) -> JsonObject:
    """How much to reason, in the hub's words, and `thinking` as it is for dialects that know it."""
    thinking, effort = _member(body, "thinking"), _member(body, "output_config").get("effort")
    said = None if effort is None else _text(effort, "output_config.effort")
    if thinking:
        said = _thinking_effort(thinking, said)
    settings: JsonObject = {"thinking": thinking} if thinking else {}
    return settings if said is None else settings | {"reasoning_effort": _EFFORTS.get(said, said)}


def _thinking_effort(thinking: JsonObject, said: str | None) -> str | None:
    match _text(thinking.get("type"), "thinking.type"):
        case "disabled":
            return "none"
        case "enabled":
            budget = thinking.get("budget_tokens")
            if type(budget) is not int or budget < 1:
                raise invalid("thinking.budget_tokens", "a whole number above 0")
            by_budget = "low" if budget <= _LOW_BUDGET else "medium" if budget <= _MEDIUM_BUDGET else "high"
            return said or by_budget
        case "adaptive":
            return said or "medium"
        case _:
            return said


def _response_format(body: JsonObject) -> JsonObject:
    param = "output_config.format"
    wanted = _member(body, "output_config").get("format")
    if wanted is None:
        param, wanted = "output_format", body.get("output_format")
    match wanted:
        case None:
            return {}
        case {"type": "json_schema", "schema": dict(schema)}:
            title = schema.get("title")
            name = _NO_NAME_CHARACTER.sub("_", title if isinstance(title, str) else "")[:_NAME_LENGTH] or "answer"
            form = {"name": name, "schema": schema, "strict": _is_closed(schema)}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        case _:
            raise invalid(param, _SCHEMA_FORM)


def _is_closed(schema: JsonObject) -> bool:
    """Whether the hub's strict form takes `schema`: its objects have no members but those that they require."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            members = node.get("properties")
            if node.get("type") == "object" or isinstance(members, dict):
                required = {name for name in list_of(node.get("required")) if isinstance(name, str)}
                names = members if isinstance(members, dict) else {}
                if node.get("additionalProperties") is not False or not required.issuperset(names):
                    return False
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return True


def _tools(body: JsonObject) -> JsonObject:
    """Tools and how they may be used; a choice means nothing without any."""
    declared = body.get("tools")
    if declared is None or not _items(declared, "tools"):
        return {}
    settings: JsonObject = {"tools": [_tool(tool, f"tools.{at}") for at, tool in enumerate(declared)]}
    choice = _member(body, "tool_choice")
    if not choice:
        return settings
    kind = _text(choice.get("type"), "tool_choice.type")
    if kind == "tool":
        function = {"name": _text(choice.get("name"), "tool_choice.name")}
        settings["tool_choice"] = {"type": "function", "function": function}
    elif kind in _TOOL_CHOICES:
        settings["tool_choice"] = _TOOL_CHOICES[kind]
    else:
        raise invalid("tool_choice.type", '"auto", "any", "tool" or "none"')
    if choice.get("disable_parallel_tool_use") is True:
        settings["parallel_tool_calls"] = False
    return settings


def _tool(value: Any, param: str) -> JsonObject:
    tool = _object(value, param)
    kind = tool.get("type")
    if kind not in (None, "custom"):
        shown = ", ".join(str(word)[:_SHOWN_CHARACTERS] for word in (tool.get("name"), kind) if word is not None)
        raise unsupported(param, f"a tool of Anthropic's own ({shown})")
    function: JsonObject = {"name": _text(tool.get("name"), f"{param}.name")}
    if tool.get("description") is not None:
        function["description"] = _text(tool["description"], f"{param}.description")
    function["parameters"] = _object(tool.get("input_schema"), f"{param}.input_schema")
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function, **_marker(tool)}


def _system(body: JsonObject) -> list[JsonObject]:
    content = body.get("system")
    return [{"role": "system", "content": _system_content(content, "system")}] if content else []


def _system_content(content: Any, param: str) -> str | list[JsonObject]:
    parts = [part for where, block in _blocks(content, param) for part in _text_parts(block, where)]
    return _content(parts)


def _messages(body: JsonObject) -> Iterator[JsonObject]:
    messages = _items(body.get("messages"), "messages")
    if not messages:
        raise invalid("messages", "a list of at least one message")
    for at, value in enumerate(messages):
        param = f"messages.{at}"
        message = _object(value, param)
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
    for where, block in _blocks(content, param):
        if block["type"] == "tool_result":
            message, media = _tool_message(block, where)
            messages.append(message)
            parts += media
        else:
            parts += _parts(block, where)
    if parts or not messages:
        messages.append({"role": "user", "content": _content(parts)})
    return messages


def _tool_message(block: JsonObject, param: str) -> tuple[JsonObject, list[JsonObject]]:
    """The message of a tool's result, and the images and files of it, which have no place there."""
    call_id = _text(block.get("tool_use_id"), f"{param}.tool_use_id")
    content = block.get("content")
    inner = [] if content is None else _blocks(content, f"{param}.content")
    parts = [part for where, item in inner for part in _parts(item, where)]
    texts = [part for part in parts if part["type"] == "text"]
    if block.get("is_error") is True:
        texts = _as_error(texts)
    message = {"role": "tool", "tool_call_id": call_id, "content": _content(texts), **_marker(block)}
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
    for where, block in _blocks(content, param):
        match block["type"]:
            case "text":
                texts += _text_parts(block, where)
            case "tool_use":
                calls.append(_tool_call(block, where))
                marker |= _marker(block)
            case "thinking":
                details.append(_thinking_detail(block, where))
            case "redacted_thinking":
                details.append(_redacted_detail(block, where))
            case kind:
                raise _unsupported_block(kind, where)
    message: JsonObject = {"role": "assistant", "content": _content(texts) if texts or not calls else None, **marker}
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
    text = _text(block.get("thinking"), f"{param}.thinking")
    signature = "" if block.get("signature") is None else _text(block["signature"], f"{param}.signature")
    sealed = unsealed(signature)
    if sealed is not None:
        return sealed | {"summary" if sealed.get("type") == "reasoning.summary" else "text": text}
    detail: JsonObject = {"type": "reasoning.text", "text": text, "format": CLAUDE_REASONING}
    return detail | {"signature": signature} if signature else detail


def _redacted_detail(block: JsonObject, param: str) -> JsonObject:
    data = _text(block.get("data"), f"{param}.data")
    return unsealed(data) or {"type": "reasoning.encrypted", "data": data, "format": CLAUDE_REASONING}


def _tool_call(block: JsonObject, param: str) -> JsonObject:
    arguments = _object(block.get("input"), f"{param}.input")
    try:
        encoded = orjson.dumps(arguments).decode()
    except orjson.JSONEncodeError as error:
        raise invalid(f"{param}.input", "JSON of moderate depth and size of numbers") from error
    function = {"name": _text(block.get("name"), f"{param}.name"), "arguments": encoded}
    return {"id": _text(block.get("id"), f"{param}.id"), "type": "function", "function": function}


def _parts(block: JsonObject, param: str) -> list[JsonObject]:
    """The parts of content that a block of a user's is; its marker is on the last of them."""
    match block["type"]:
        case "document":
            parts = _document_parts(block, param)
        case "search_result":
            found = [
                part["text"]
                for where, item in _blocks(block.get("content"), f"{param}.content")
                for part in _text_parts(item, where)
            ]
            parts = [_text_part(block.get("title"), block.get("source"), *found)]
        case "image":
            parts = [_image_part(block.get("source"), f"{param}.source")]
        case _:
            return _text_parts(block, param)
    return [*parts[:-1], *(part | _marker(block) for part in parts[-1:])]


def _text_parts(block: JsonObject, param: str) -> list[JsonObject]:
    if block["type"] != "text":
        raise _unsupported_block(block["type"], param)
    return [{"type": "text", "text": _text(block.get("text"), f"{param}.text"), **_marker(block)}]


def _text_part(*texts: Any) -> JsonObject:
    return {"type": "text", "text": "\n\n".join(text for text in texts if isinstance(text, str) and text)}


def _image_part(source: Any, param: str) -> JsonObject:
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}
        case {"type": "url", "url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case _:
            raise _bad_source(source, param)


def _document_parts(block: JsonObject, param: str) -> list[JsonObject]:
    """A file, or the texts and images that a document is made of; what it is called and about comes first."""
    source, where = block.get("source"), f"{param}.source"
    title, about = block.get("title"), block.get("context")
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            parts = [_file_part(f"data:{media_type};base64,{data}", title)]
        case {"type": "url", "url": str(url)}:
            parts = [_file_part(url, title)]
        case {"type": "text", "data": str(text)}:
            return [_text_part(title, about, text)]
        case {"type": "content", "content": content}:
            parts = []
            for inner, item in _blocks(content, f"{where}.content"):
                is_image = item["type"] == "image"
                source_param = f"{inner}.source"
                parts += [_image_part(item.get("source"), source_param)] if is_image else _text_parts(item, inner)
            about = _text_part(title, about)["text"]
        case _:
            raise _bad_source(source, where)
    return [_text_part(about), *parts] if isinstance(about, str) and about else parts


def _file_part(data: str, title: Any) -> JsonObject:
    filename = title if isinstance(title, str) and title else "document.pdf"
    return {"type": "file", "file": {"filename": filename, "file_data": data}}


def _bad_source(source: Any, param: str) -> Exception:
    if isinstance(source, dict) and source.get("type") == "file":
        return unsupported(param, "a file that is kept at Anthropic", "Send its content instead.")
    return invalid(param, "a source with all that its type needs")


def _unsupported_block(kind: str, param: str) -> Exception:
    return unsupported(param, f'content of the type "{kind[:_SHOWN_CHARACTERS]}"')


def _content(parts: list[JsonObject]) -> str | list[JsonObject]:
    """`parts`, or the text that a single one without a marker is, which more providers take."""
    if not parts:
        return ""
    text = parts[0].get("text")
    return text if len(parts) == 1 and isinstance(text, str) and "cache_control" not in parts[0] else parts


def _marker(block: JsonObject) -> JsonObject:
    marker = block.get("cache_control")
    return {} if marker is None else {"cache_control": marker}


def _blocks(content: Any, param: str) -> list[tuple[str, JsonObject]]:
    """The blocks of content and where each stands; a string is one of text."""
    if isinstance(content, str):
        return [(param, {"type": "text", "text": content})]
    blocks = []
    for at, value in enumerate(_items(content, param, "a string or a list of blocks")):
        block = _object(value, f"{param}.{at}")
        _text(block.get("type"), f"{param}.{at}.type")
        blocks.append((f"{param}.{at}", block))
    return blocks


def _member(parent: JsonObject, name: str) -> JsonObject:
    """The object under `name`; {} without one."""
    return {} if parent.get(name) is None else _object(parent[name], name)


def _object(value: Any, param: str) -> JsonObject:
    if not isinstance(value, dict):
        raise invalid(param, "an object")
    return value


def _items(value: Any, param: str, must_be: str = "a list") -> list[Any]:
    if not isinstance(value, list):
        raise invalid(param, must_be)
    return value


def _text(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise invalid(param, "a string")
    return value
