"""The hub's complete answers as Anthropic's Messages API gives them, and what whole answers and streams share."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.anthropic.client_usage import render_usage, told_usage
from dataplane.dialects.anthropic.reasoning import SEAL
from dataplane.dialects.base import Frame
from dataplane.dialects.hub import list_of, object_of, text_of
from dataplane.dialects.openai.payload import parse_payload
from tollway.kernel.usage import NO_USAGE, Usage

FORMAT: Final = "anthropic"
CLAUDE_REASONING: Final = "anthropic-claude-v1"
"""The `format` of reasoning details whose signature or data is Anthropic's own."""
_SEALABLE: Final = frozenset(("type", "text", "summary", "signature", "data", "format", "index"))
_UNSEALED: Final = frozenset(("text", "summary", "index"))
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class Thinking(NamedTuple):
    text: str


class Signature(NamedTuple):
    """Ends the thinking before it, if there is any."""

    signature: str


class Redacted(NamedTuple):
    data: str


class Text(NamedTuple):
    text: str


class ToolCall(NamedTuple):
    """A tool call, or a part of one: "" for what it does not tell. `number` says which call it is a part of."""

    number: int | None
    id: str
    name: str
    arguments: str


Piece: TypeAlias = Thinking | Signature | Redacted | Text | ToolCall


def render_result(call: Call, frame: Frame) -> bytes:
    """The Messages answer, or the count of tokens, that `frame` is; one in Anthropic's format passes as it came."""
    if frame.format == FORMAT:
        return frame.data
    payload = json_object(frame.data)
    if call.endpoint.name == "count_tokens":
        return orjson.dumps({"input_tokens": _token_count(payload, frame)})
    choice = choice_of(payload)
    message = object_of(choice.get("message"))
    identity = message_id(payload, call)
    content = _blocks(pieces_of(message), identity)
    has_tools = any(block["type"] == "tool_use" for block in content)
    reason, sequence = stop_of(call, choice, has_tools=has_tools, is_refused=bool(message.get("refusal")))
    answer = render_message(identity, model_of(payload, frame, call), told_usage(payload, frame))
    return orjson.dumps(answer | {"content": content, "stop_reason": reason, "stop_sequence": sequence})


def render_message(identity: str, model: str, usage: Usage | None) -> JsonObject:
    """A message without content and end."""
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": render_usage(usage),
    }


def message_id(payload: JsonObject, call: Call) -> str:
    """The answer's id in Anthropic's form, made of the call's where it has none."""
    given = text_of(payload.get("id")).removeprefix("chatcmpl-") or call.request_id.removeprefix("req_")
    return given if given.startswith("msg_") else f"msg_{given}"


def tool_use_id(identity: str, position: int) -> str:
    """An id for the tool call at `position` of the answer `identity`, which came without one."""
    return f"toolu_{identity.removeprefix('msg_')}_{position}"


def model_of(payload: JsonObject, frame: Frame, call: Call) -> str:
    return text_of(payload.get("model")) or frame.model or call.model


def stop_of(call: Call, choice: JsonObject, *, has_tools: bool, is_refused: bool) -> tuple[str, str | None]:
    """Why the answer ended, and the stop sequence that ended it where the provider tells which one it was.

    Tools are there to be used: an answer with calls that ended of itself ended for them, one without never did.
    """
    reason = _STOP_REASONS.get(text_of(choice.get("finish_reason")), "end_turn")
    if reason in ("end_turn", "tool_use"):
        reason = "tool_use" if has_tools else "end_turn"
    if is_refused:
        return "refusal", None
    matched = choice.get("stop_reason")
    if reason == "end_turn" and isinstance(matched, str) and matched in list_of(call.body.get("stop_sequences")):
        return "stop_sequence", matched
    return reason, None


def pieces_of(message: JsonObject, *, has_told_reasoning: bool = False) -> list[Piece]:
    """What a message, or a delta of one, holds, in the order in which Anthropic has it: reasoning, text, calls.

    `has_told_reasoning` says that earlier deltas told reasoning as plain text: details then only repeat it.
    """
    pieces = list(_reasoning_pieces(message, has_told_reasoning))
    content = message.get("content")
    pieces += _part_pieces(content if isinstance(content, list) else [content])
    pieces.append(Text(text_of(message.get("refusal"))))
    for call in list_of(message.get("tool_calls")):
        pieces += _call_pieces(object_of(call))
    return [piece for piece in pieces if any(piece) or isinstance(piece, ToolCall)]


def plain_reasoning(message: JsonObject) -> str:
    """Reasoning that is told as plain text."""
    return text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))


def unsealed(sealed: str) -> JsonObject | None:
    """The members that `sealed` stands for; None where it is Anthropic's own, or broken.

    They are those of a reasoning detail, or `tool_call_id` and the `extra_content` that this call had.
    """
    if not sealed.startswith(SEAL):
        return None
    try:
        detail = orjson.loads(base64.b64decode(sealed.removeprefix(SEAL), validate=True))
    except (binascii.Error, ValueError):
        return None
    return detail if isinstance(detail, dict) else None


def choice_of(payload: JsonObject) -> JsonObject:
    """The first of several answers, which is the only one that Anthropic's format can tell; {} without one."""
    for choice in list_of(payload.get("choices")):
        if isinstance(choice, dict) and (choice.get("index") or 0) == 0:
            return choice
    return {}


def json_object(data: bytes) -> JsonObject:
    """The object that `data` is; {} when it is none."""
    try:
        return object_of(parse_payload(data))
    except ValueError:
        return {}


def is_object(text: str) -> bool:
    """Whether `text` is the whole of a JSON object."""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _token_count(payload: JsonObject, frame: Frame) -> int:
    count = payload.get("input_tokens")
    return count if type(count) is int else (frame.usage or NO_USAGE).input_tokens


def _reasoning_pieces(message: JsonObject, has_told_reasoning: bool) -> Iterator[Piece]:
    """Details have the reasoning in its blocks where they hold all of it, else what the blocks were signed with."""
    told = plain_reasoning(message)
    details = [detail for detail in list_of(message.get("reasoning_details")) if isinstance(detail, dict)]
    detailed = "".join(map(_detail_text, details))
    is_detailed = detailed == told if told else not has_told_reasoning
    if not is_detailed:
        yield Thinking(told)
    for detail in details:
        if is_detailed:
            yield Thinking(_detail_text(detail))
        yield Signature(_sealed(detail, "signature", "reasoning.text"))
        yield Redacted(_sealed(detail, "data", "reasoning.encrypted"))


def _detail_text(detail: JsonObject) -> str:
    return text_of(detail.get("text")) or text_of(detail.get("summary"))


def _sealed(detail: JsonObject, secret: str, kind: str) -> str:
    """The signature or data of a reasoning detail; with all its members inside where it is not Anthropic's own."""
    value = text_of(detail.get(secret))
    is_claude = detail.get("format") in (None, CLAUDE_REASONING) and detail.get("type") in (None, kind)
    if not value or (is_claude and all(name in _SEALABLE or detail[name] is None for name in detail)):
        return value
    return _seal({name: member for name, member in detail.items() if name not in _UNSEALED}) or value


def _seal(members: JsonObject) -> str:
    """`members` as a client keeps them for the next turn; "" when they are nested too deep."""
    packed = _json(members)
    return packed and SEAL + base64.b64encode(packed.encode()).decode()


def _part_pieces(parts: Iterable[Any]) -> Iterator[Piece]:
    """What content in parts holds: text, reasoning of some providers, or an object where JSON was asked for."""
    for part in parts:
        match part:
            case str(text):
                yield Text(text)
            case {"type": "thinking", "thinking": str(text)}:
                yield Thinking(text)
            case {"type": "thinking", "thinking": list(inner)}:
                yield Thinking("".join(text_of(object_of(item).get("text")) for item in inner))
            case {"text": str(text)} | {"refusal": str(text)}:
                yield Text(text)
            case dict(value) if "type" not in value:
                yield Text(_json(value))


def _call_pieces(call: JsonObject) -> Iterator[Piece]:
    """A tool call, after what its provider wants back with it."""
    function, number, call_id = object_of(call.get("function")), call.get("index"), text_of(call.get("id"))
    extra, arguments = object_of(call.get("extra_content")), function.get("arguments")
    if extra and call_id:
        yield Redacted(_seal({"tool_call_id": call_id, "extra_content": extra}))
    if isinstance(arguments, dict):
        arguments = _json(arguments)
    name, known = text_of(function.get("name")), number if type(number) is int else None
    yield ToolCall(known, call_id, name, text_of(arguments))


def _json(value: JsonObject) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def _blocks(pieces: Iterable[Piece], identity: str) -> list[JsonObject]:
    """Blocks of content; text that is only white space is none, since it could not be sent back."""
    blocks: list[JsonObject] = []
    calls = 0
    for piece in pieces:
        last: JsonObject = blocks[-1] if blocks else {"type": None}
        match piece:
            case Text(text) if last["type"] == "text":
                last["text"] += text
            case Text(text):
                blocks.append({"type": "text", "text": text})
            case Thinking(text) if last["type"] == "thinking" and not last["signature"]:
                last["thinking"] += text
            case Thinking(text):
                blocks.append({"type": "thinking", "thinking": text, "signature": ""})
            case Signature(signature) if last["type"] == "thinking" and not last["signature"]:
                last["signature"] = signature
            case Signature(signature):
                blocks.append({"type": "thinking", "thinking": "", "signature": signature})
            case Redacted(data):
                blocks.append({"type": "redacted_thinking", "data": data})
            case ToolCall() if piece.name:
                name, tool_input = piece.name, _tool_input(piece.arguments)
                given_id = piece.id or tool_use_id(identity, calls)
                blocks.append({"type": "tool_use", "id": given_id, "name": name, "input": tool_input})
                calls += 1
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]


def _tool_input(arguments: str) -> JsonObject | orjson.Fragment:
    """The object that `arguments` are, digit for digit; broken ones as text under "arguments"."""
    if arguments.strip() in ("", "null"):
        return {}
    return orjson.Fragment(arguments) if is_object(arguments) else {"arguments": arguments}
