"""What compatible providers write otherwise than OpenAI does, put right in place; what is right is left alone.

Payloads are fresh from the parser and nobody else's. Each function says whether it changed anything: where nothing was
changed, the bytes that came are passed on.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.errors import UpstreamError, UpstreamErrorKind

TEXT = (str, type(None))
TEXT_COMPLETION = "text_completion"
FINISHES = (None, "stop", "tool_calls", "length", "content_filter", "function_call")
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("max_tokens", "model_length", "max_length", "max_output_tokens"), "length"),
        **dict.fromkeys(("tool_use", "tool_call"), "tool_calls"),
        **dict.fromkeys(("safety", "content-filter", "content_filtered", "refusal", "sensitive"), "content_filter"),
    }
)
"""Other words for how an answer ended; those that are not here are for a good end."""
_FAILURES: Mapping[str, UpstreamErrorKind] = MappingProxyType(
    {
        "error": UpstreamErrorKind.SERVER,
        "abort": UpstreamErrorKind.SERVER,
        "network_error": UpstreamErrorKind.SERVER,
        "insufficient_system_resource": UpstreamErrorKind.OVERLOADED,
    }
)
_NO_CALL_ID = "0"
_NO_MESSAGE: JsonObject = {}


def mend_answer(payload: JsonObject, call: Call | None) -> bool:
    """Mends a complete chat or text completion. Raises UpstreamError for one whose generation failed.

    What is only lacking around it, such as `object` or a role, is no reason to change an answer that says all it has
    to say, how it ended included.
    """
    choices = payload.get("choices")
    if not isinstance(choices, list):
        return False
    has_changed = False
    for position, choice in enumerate(choices):
        if isinstance(choice, dict):
            has_changed |= _mend_choice(choice, position, call)
    if has_changed:
        fill_answer(payload, choices, call)
    return has_changed


def fill_answer(payload: JsonObject, choices: list[Any], call: Call | None) -> None:
    """Gives a complete answer with `choices` the members that it lacks."""
    fill_envelope(payload, payload, call, is_chunk=False)
    for position, choice in enumerate(choices):
        if isinstance(choice, dict):
            _fill_choice(choice, position)


def _mend_choice(choice: JsonObject, position: int, call: Call | None) -> bool:
    message = choice.get("message")
    has_changed = mend_finish(choice)
    if isinstance(message, dict):
        has_changed |= mend_message(message)
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            has_changed |= _mend_calls(calls, f"{call_token(call)}{position}")
    if choice.get("finish_reason") is None:
        choice["finish_reason"] = _finish(message if isinstance(message, dict) else _NO_MESSAGE)
        has_changed = True
    return has_changed


def _finish(message: JsonObject) -> str:
    """What an answer with `message` ended with, where it does not say so itself."""
    for member, word in (("tool_calls", "tool_calls"), ("function_call", "function_call")):
        if message.get(member):
            return word
    return "stop"


def _fill_choice(choice: JsonObject, position: int) -> None:
    if type(choice.get("index")) is not int:
        choice["index"] = position
    message = choice.get("message")
    if isinstance(message, dict) and not message.get("role"):
        message["role"] = "assistant"


def fill_envelope(payload: JsonObject, known: JsonObject, call: Call | None, *, is_chunk: bool) -> bool:
    """Gives `payload` the members around its choices that it lacks, from `known`, else from `call`, and its right name.

    A time of zero is none where another one is known.
    """
    is_text = _is_text(payload, call) or known.get("object") == TEXT_COMPLETION
    name = TEXT_COMPLETION if is_text else "chat.completion.chunk" if is_chunk else "chat.completion"
    has_changed = payload.get("object") != name
    payload["object"] = name
    if not payload.get("id"):
        payload["id"] = known.get("id") or f"{'cmpl' if is_text else 'chatcmpl'}-{call_token(call)}"
        has_changed = True
    if not payload.get("model"):
        payload["model"] = known.get("model") or (call.model if call else "")
        has_changed = True
    created = payload.get("created")
    if created is None or (created == 0 and known.get("created")):
        created = known.get("created")
        payload["created"] = (call.start_time_us // 1_000_000 if call else 0) if created is None else created
        has_changed = True
    return has_changed


def _is_text(payload: JsonObject, call: Call | None) -> bool:
    """Whether `payload` answers a text completion, or is made like that."""
    if call is not None and call.endpoint.operation == TEXT_COMPLETION:
        return True
    choices = payload.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and "text" in first and "message" not in first and "delta" not in first


def call_token(call: Call | None) -> str:
    """What makes ids that are made for an answer unique."""
    return call.request_id.removeprefix("req_") if call else _NO_CALL_ID


def mend_finish(choice: JsonObject) -> bool:
    """Mends how `choice` says that it ended. Raises UpstreamError where it ended because it failed."""
    said = choice.get("finish_reason")
    if said in FINISHES:
        return False
    if not isinstance(said, str) or not said:
        choice["finish_reason"] = None
        return True
    word = said.lower()
    if word in _FAILURES:
        if choice.get("error"):
            raise parse_error_object(choice["error"])
        raise UpstreamError(_FAILURES[word], f'The upstream ended its answer with "{word}".')
    choice["finish_reason"] = word if word in FINISHES else _WORDS.get(word, "stop")
    return True


def mend_message(message: JsonObject) -> bool:
    """Mends a message or a delta: content is text, and reasoning is in `reasoning_content`."""
    has_changed = False
    if isinstance(message.get("content"), list | dict):
        _flatten(message)
        has_changed = True
    if ("reasoning" in message or "reasoning_details" in message) and not message.get("reasoning_content"):
        reasoning = _reasoning(message)
        if reasoning:
            message["reasoning_content"] = reasoning
            has_changed = True
    return has_changed


def _flatten(message: JsonObject) -> None:
    """Content in parts as text, and as reasoning where parts are that; an object as the JSON text that it is."""
    text: list[str] = []
    reasoning: list[str] = []
    content = message["content"]
    if not isinstance(content, list):
        message["content"] = encode(content).decode()
        return
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict):
            is_reasoning = part.get("type") in ("thinking", "reasoning")
            (reasoning if is_reasoning else text).append(_part_text(part))
    message["content"] = "".join(text) or None
    if any(reasoning) and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(reasoning)


def _part_text(part: JsonObject) -> str:
    for name in ("text", "thinking", "summary", "reasoning"):
        value = part.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return _texts(value)
    return ""


def _texts(parts: list[Any]) -> str:
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _reasoning(message: JsonObject) -> str:
    said = message.get("reasoning")
    if isinstance(said, str) and said:
        return said
    details = message.get("reasoning_details")
    return _texts(details) if isinstance(details, list) else ""


def _mend_calls(calls: list[Any], token: str) -> bool:
    """Mends the tool calls of a complete message."""
    has_changed = False
    ids: set[str] = set()
    for position, call in enumerate(calls):
        if isinstance(call, dict):
            has_changed |= mend_arguments(call) or _fill_arguments(call)
            has_changed |= begin_call(call, ids, f"{token}{position}")
    return has_changed


def _fill_arguments(call: JsonObject) -> bool:
    """Arguments of a function that is called without any as the empty object that they are."""
    function = call.get("function")
    if not isinstance(function, dict) or function.get("arguments") not in (None, ""):
        return False
    function["arguments"] = "{}"
    return True


def tool_call(call: Call, identity: str, name: str, arguments: str, ids: set[str]) -> JsonObject:
    """A tool call of the answer to `call`; its id, made where `identity` is "", is one of `ids` and no other one's."""
    used: JsonObject = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
    begin_call(used, ids, f"{call.request_id}_{len(ids)}")
    return used


def begin_call(call: JsonObject, ids: set[str], token: str) -> bool:
    """Gives a tool call the id and the type that it lacks; its id is then one of `ids`, and no other one's."""
    has_changed = False
    said = call.get("id")
    if not isinstance(said, str) or not said or said in ids:
        call["id"] = f"call_{token}" if said in (None, "") else f"{said}_{token}"
        has_changed = True
    ids.add(call["id"])
    if not call.get("type"):
        call["type"] = "function"
        has_changed = True
    return has_changed


def mend_arguments(call: JsonObject) -> bool:
    """Arguments that came as an object as the text that they must be. Raises UpstreamError when nested too deep."""
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict | list):
        return False
    function["arguments"] = encode(function["arguments"]).decode()
    return True


def encode(value: Any) -> bytes:
    """`value` as JSON. Raises UpstreamError when it is nested too deep."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is nested too deep.") from error
