"""A request in OpenAI's format as one place wants it: what its catalog row says, and what no row can say."""

import hashlib
import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from types import MappingProxyType
from typing import Any

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.openai.data_sources import check_data_sources
from dataplane.dialects.openai.functions import NO_FUNCTIONS, with_tools
from dataplane.dialects.openai.mistral import mistral_body

OWN_FORMAT = "own_format"
"""The trait of those whose own format the hub's is."""
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_SHORT_ID_LENGTH = 9
_INNER = ("content", "tool_calls")
_CLAUDES_AMOUNTS = ("budget_tokens", "display")
_MODELS = re.compile(r"(?:.*_)?models?")
_ANSWERS_OF_TOOLS = ("tool", "function")
_TEXTS = frozenset(("reasoning_content", "reasoning", "refusal"))
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def adapt_body(body: JsonObject, provider: ProviderSpec, base_url: str = "", *, is_own: bool = False) -> JsonObject:
    """`body` as `provider`, at `base_url`, takes it; `body` itself, which is never changed, where that is so already.

    At another address than the provider's own one, where it has one, there may be something that takes more. With
    `is_own` its top level stays as it is: whoever wrote it means this provider. Raises InvalidRequest for content that
    the provider has no words for.
    """
    if not is_own and (provider.drop or provider.rename or provider.double or provider.values):
        body = _with_members(body, provider)
    if provider.drop_inside and provider.own_domain in base_url:
        body = _without_inside(body, provider.drop_inside)
    if provider.traits:
        for trait, adapted in _QUIRKS.items():
            if trait in provider.traits:
                body = adapted(body)
    return body


def _with_members(body: JsonObject, provider: ProviderSpec) -> JsonObject:
    """What is sent under its new name wins over what the client sent under that name, but where it is null."""
    adapted: JsonObject = {}
    renamed: JsonObject = {}
    for name, value in body.items():
        if name in provider.drop and not _is_kept(provider, name, value):
            continue
        others = provider.values.get(name)
        if others is not None and isinstance(value, str) and value in others:
            value = others[value]
            if value is None:
                continue
        if name not in provider.rename:
            adapted[name] = value
        other = provider.rename.get(name) or provider.double.get(name)
        if other is not None and value is not None:
            renamed[other] = value
    return adapted | renamed


def _is_kept(provider: ProviderSpec, name: str, value: Any) -> bool:
    """Whether `value` is the one with which a member passes that is left out otherwise."""
    if name not in provider.keep:
        return False
    kept = provider.keep[name]
    return type(value) is type(kept) and bool(value == kept)


def _without_inside(body: JsonObject, names: frozenset[str]) -> JsonObject:
    """`body` without `names` in its messages, their parts and calls, and its tools."""
    adapted = {}
    for member in ("messages", "tools"):
        items = body.get(member)
        if isinstance(items, list):
            kept = [_without(item, names) for item in items]
            if any(new is not old for new, old in zip(kept, items, strict=True)):
                adapted[member] = kept
    return body | adapted if adapted else body


def _without(item: Any, names: frozenset[str]) -> Any:
    """`item`, and its parts and calls, without `names`; the same object where there are none of them."""
    if not isinstance(item, dict):
        return item
    if not names.isdisjoint(item):
        item = {name: value for name, value in item.items() if name not in names}
    for member in _INNER:
        inner = item.get(member)
        if type(inner) is list and any(type(part) is dict and not names.isdisjoint(part) for part in inner):
            item = item | {member: [_without(part, names) for part in inner]}
    return item


def _with_messages(body: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return body | {"messages": [change(message) if isinstance(message, dict) else message for message in messages]}


def _with_system_role(body: JsonObject) -> JsonObject:
    """Instructions of a developer as the system's."""
    return _with_messages(
        body, lambda message: message | {"role": "system"} if message.get("role") == "developer" else message
    )


def _with_short_tool_ids(body: JsonObject) -> JsonObject:
    """Ids of tool calls that other providers made as nine letters and digits."""
    return _with_messages(body, _with_short_ids)


def _with_short_ids(message: JsonObject) -> JsonObject:
    calls, answered = message.get("tool_calls"), message.get("tool_call_id")
    if isinstance(calls, list):
        message = message | {
            "tool_calls": [
                call | {"id": _short_id(call["id"])} if isinstance(call, dict) and "id" in call else call
                for call in calls
            ]
        }
    return message | {"tool_call_id": _short_id(answered)} if answered is not None else message


def _short_id(tool_id: Any) -> Any:
    if not isinstance(tool_id, str) or _SHORT_ID.fullmatch(tool_id):
        return tool_id
    number = int.from_bytes(hashlib.sha256(tool_id.encode()).digest()[:8], "big")
    digits = []
    for _ in range(_SHORT_ID_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)


def _with_answer_prefix(body: JsonObject) -> JsonObject:
    """A last message of the assistant as what the answer begins with."""
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(messages, list) or not isinstance(last, dict):
        return body
    if last.get("role") != "assistant" or last.get("tool_calls"):
        return body
    return body | {"messages": [*messages[:-1], {"prefix": True, **last}]}


def _with_alternating_roles(body: JsonObject) -> JsonObject:
    """Neighbouring messages of one role as one message; answers of tools, which name their calls, stay apart."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    runs: list[list[Any]] = []
    for message in messages:
        first = runs[-1][0] if runs else None
        if isinstance(first, dict) and isinstance(message, dict) and _are_one(first, message):
            runs[-1].append(message)
        else:
            runs.append([message])
    return body | {"messages": [_as_one(run) for run in runs]}


def _are_one(first: JsonObject, message: JsonObject) -> bool:
    return first.get("role") == message.get("role") and first.get("role") not in _ANSWERS_OF_TOOLS


def _as_one(run: list[Any]) -> Any:
    """One message with all that those of `run` hold: texts and lists in a row, of other members the first."""
    if len(run) == 1:
        return run[0]
    names = dict.fromkeys(name for message in run for name in message)
    return {name: _joined([message[name] for message in run if name in message], name) for name in names}


def _joined(values: list[Any], name: str) -> Any:
    """`values` of a member as one: text where all are text, a list where some are lists, else the first."""
    told = [value for value in values if value is not None]
    if name == "content":
        return _joined_content(told)
    if told and all(isinstance(value, list) for value in told):
        return [item for value in told for item in value]
    if name in _TEXTS and told and all(isinstance(value, str) for value in told):
        return "".join(told)
    return told[0] if told else None


def _joined_content(contents: list[Any]) -> Any:
    """One text where all `contents` are text; else parts, and what is text before the first other one is one part."""
    texts = list(takewhile(lambda content: isinstance(content, str), contents))
    text = "\n\n".join(texts)
    if len(texts) == len(contents):
        return text if texts else None
    others = contents[len(texts) :]
    return [part for content in ([text, *others] if texts else others) for part in _parts(content)]


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) else []


def _with_json_object(body: JsonObject) -> JsonObject:
    """A schema that the answer must match as instructions, beside the demand for JSON."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return body
    asked = wanted.get("json_schema")
    schema = asked.get("schema") if isinstance(asked, dict) else None
    messages = body.get("messages")
    if isinstance(messages, list):
        text = "Answer with nothing but one JSON object"
        if schema is not None:
            text += f" that matches this JSON schema: {orjson.dumps(schema).decode()}"
        messages = [{"role": "system", "content": text}, *messages]
    return body | {"response_format": {"type": "json_object"}, "messages": messages}


def _with_thinking_switch(body: JsonObject) -> JsonObject:
    """Thinking that is on or off, and has no amount."""
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return body
    kept = {name: value for name, value in thinking.items() if name not in _CLAUDES_AMOUNTS}
    return body | {"thinking": kept | {"type": "enabled"}}


def _with_one_model(body: JsonObject) -> JsonObject:
    """No other models in the settings of tools and plugins that the provider runs itself."""
    changed = {
        name: [_without_models(item) for item in items]
        for name in ("tools", "plugins")
        if isinstance(items := body.get(name), list) and any(_names_models(item) for item in items)
    }
    return body | changed if changed else body


def _names_models(item: Any) -> bool:
    return _without_models(item) is not item


def _without_models(item: Any) -> Any:
    """`item` without models at its top and in its parameters; itself where it has none, or is the client's function."""
    if not isinstance(item, dict) or item.get("type") in ("function", "custom"):
        return item
    kept = {name: value for name, value in item.items() if not _MODELS.fullmatch(name)}
    settings = kept.get("parameters")
    if isinstance(settings, dict) and any(_MODELS.fullmatch(name) for name in settings):
        kept["parameters"] = {name: value for name, value in settings.items() if not _MODELS.fullmatch(name)}
        return kept
    return kept if len(kept) < len(item) else item


def _with_free_tool_choice(body: JsonObject) -> JsonObject:
    """No demand for a tool: the model may call one all the same."""
    if body.get("tool_choice") in (None, "auto", "none"):
        return body
    return {name: value for name, value in body.items() if name != "tool_choice"}


_QUIRKS: Mapping[str, Callable[[JsonObject], JsonObject]] = MappingProxyType(
    {
        "data_sources": check_data_sources,
        NO_FUNCTIONS: with_tools,
        "mistral": mistral_body,
        "system_role": _with_system_role,
        "short_tool_ids": _with_short_tool_ids,
        "answer_prefix": _with_answer_prefix,
        "alternating_roles": _with_alternating_roles,
        "json_object_only": _with_json_object,
        "free_tool_choice": _with_free_tool_choice,
        "thinking_switch": _with_thinking_switch,
        "one_model": _with_one_model,
    }
)
"""By the trait of a row that asks for it, in the order in which they are done. Some raise InvalidRequest."""
