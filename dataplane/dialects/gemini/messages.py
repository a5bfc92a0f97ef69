"""OpenAI's messages as Gemini's contents and its system instruction."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dataplane.call import JsonObject
from dataplane.dialects.gemini.content import render_parts
from dataplane.dialects.gemini.fields import json_of, object_at, objects_at, text_at
from dataplane.dialects.gemini.media import render_file
from dataplane.dialects.gemini.models import GeminiModel
from dataplane.dialects.gemini.signatures import (
    SKIPPED,
    call_signature,
    detailed_signatures,
    own_tool_parts,
    signature_of,
    signed,
    text_signature,
)
from dataplane.errors import InvalidRequest


class Conversation(NamedTuple):
    """Contents, whose roles alternate, and the parts of the system instruction."""

    contents: list[JsonObject]
    system: list[JsonObject]


def render_conversation(messages: Any, model: GeminiModel, *, has_ids: bool, has_own_tools: bool) -> Conversation:
    """What `messages` say; instructions alone become what the user says, as Gemini answers nothing else.

    `has_ids` says whether calls and their results are sent with ids, `has_own_tools` whether uses of Google's own tools
    are. Raises InvalidRequest for what is malformed or cannot be said.
    """
    if not isinstance(messages, list):
        raise InvalidRequest('The field "messages" must be a list.', code="invalid_value", param="messages")
    writer = _ContentsWriter(model, has_ids, has_own_tools)
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _malformed(f"messages[{at}]", "must be an object")
        writer.add(message, f"messages[{at}]")
    contents, system = writer.finish()
    if system and not contents:
        return Conversation([{"role": "user", "parts": system}], [])
    return Conversation(contents, system)


class _ToolCall(NamedTuple):
    """A call of an earlier turn: Gemini wants the function's name beside its result, and results in order of calls."""

    name: str
    position: int


class _ToolResult(NamedTuple):
    position: int
    response: JsonObject
    files: list[JsonObject]


class _ContentsWriter:
    """`_results` are those of one turn of calls, until a message of another kind comes."""

    def __init__(self, model: GeminiModel, has_ids: bool, has_own_tools: bool) -> None:
        self._model = model
        self._has_ids = has_ids
        self._has_own_tools = has_own_tools
        self._system: list[JsonObject] = []
        self._contents: list[JsonObject] = []
        self._calls: dict[str, _ToolCall] = {}
        self._results: list[_ToolResult] = []

    def add(self, message: JsonObject, param: str) -> None:
        match message.get("role"):
            case "tool":
                self._results.append(self._tool_result(message, param))
            case "system" | "developer":
                self._system += render_parts(message.get("content"), f"{param}.content")
            case "user":
                self._append("user", render_parts(message.get("content"), f"{param}.content"))
            case "assistant":
                self._append("model", self._assistant(message, param))
            case _:
                raise _malformed(f"{param}.role", "must be system, developer, user, assistant or tool")

    def finish(self) -> Conversation:
        self._append("user", [])
        return Conversation(self._contents, self._system)

    def _append(self, role: str, parts: list[JsonObject]) -> None:
        if self._results:
            results = sorted(self._results, key=lambda result: result.position)
            self._results = []
            self._extend("user", [result.response for result in results])
            self._extend("user", [file for result in results for file in result.files])
        self._extend(role, parts)

    def _extend(self, role: str, parts: list[JsonObject]) -> None:
        """Adds `parts` to what the same role said before, or as its new turn."""
        if not parts:
            return
        if self._contents and self._contents[-1]["role"] == role:
            self._contents[-1]["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": list(parts)})

    def _assistant(self, message: JsonObject, param: str) -> list[JsonObject]:
        parts = render_parts(message.get("content"), f"{param}.content")
        if not parts:
            parts = render_parts(message.get("refusal"), f"{param}.refusal")
        detailed = detailed_signatures(message)
        if (signature := text_signature(detailed)) and parts:
            parts[-1] = signed(parts[-1], signature)
        used = own_tool_parts(message) if self._has_own_tools else []
        return used + parts + self._images(message, param) + self._tool_calls(message, detailed, param)

    def _images(self, message: JsonObject, param: str) -> list[JsonObject]:
        """Images that a model made in an earlier turn, where the client sends them back."""
        return [
            signed(
                render_file(text_at(object_at(image, "image_url"), "url"), "image/png", f"{param}.images[{at}]"),
                signature_of(image) or self._missing_signature,
            )
            for at, image in enumerate(objects_at(message, "images"))
        ]

    def _tool_calls(self, message: JsonObject, detailed: Mapping[str, str], param: str) -> list[JsonObject]:
        """Calls of one turn: its first one has a signature, where the model asks for them, be it the dummy."""
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise _malformed(f"{param}.tool_calls", "must be a list of objects")
        parts = [self._tool_call(call, at, f"{param}.tool_calls[{at}]") for at, call in enumerate(calls)]
        signatures = [call_signature(call, detailed) for call in calls]
        if parts and not any(signatures):
            signatures[0] = self._missing_signature
        return [signed(part, signature) for part, signature in zip(parts, signatures, strict=True)]

    def _tool_call(self, call: JsonObject, position: int, param: str) -> JsonObject:
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest(
                f'"{param}" is no call of a function, and Gemini models know no others.',
                code="unsupported_content",
                param=param,
            )
        identity, name = text_at(call, "id"), function["name"]
        self._calls[identity] = _ToolCall(name, position)
        said = {"name": name, "args": _arguments(function.get("arguments"), f"{param}.function.arguments")}
        return {"functionCall": self._identity(identity) | said}

    def _tool_result(self, message: JsonObject, param: str) -> _ToolResult:
        """The result of the call that `message` names."""
        identity = text_at(message, "tool_call_id")
        call = self._calls.get(identity)
        if call is None:
            raise _malformed(f"{param}.tool_call_id", "names no tool call of a message before it")
        parts = render_parts(message.get("content"), f"{param}.content")
        text = "".join(part["text"] for part in parts if "text" in part)
        files = [part for part in parts if "text" not in part]
        response: JsonObject = {"name": call.name, "response": _response(text)}
        if files and self._model.is_third:
            response["parts"], files = files, []
        return _ToolResult(call.position, {"functionResponse": self._identity(identity) | response}, files)

    def _identity(self, identity: str) -> JsonObject:
        return {"id": identity} if self._has_ids and identity else {}

    @property
    def _missing_signature(self) -> str:
        return SKIPPED if self._model.is_third else ""


def _arguments(arguments: Any, param: str) -> JsonObject:
    """The object that a call's arguments are, {} for none."""
    if isinstance(arguments, dict):
        return arguments
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return {}
    parsed = json_of(arguments) if isinstance(arguments, str) else None
    if not isinstance(parsed, dict):
        raise _malformed(param, "must be a JSON object, as text")
    return parsed


def _response(text: str) -> JsonObject:
    """What a tool said, which Gemini takes as an object: that of the text, or one around it."""
    parsed = json_of(text)
    return parsed if isinstance(parsed, dict) else {"output": text}


def _malformed(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f'"{param}" {what}.', code="invalid_value", param=param)
