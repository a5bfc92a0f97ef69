"""A gateway's answers, read strictly: what clients of OpenAI's and of Anthropic's API would take from them.

Each reader returns what an answer says and, in words, where it is not as that API's own answers are.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.golden.evidence.anthropic import fold_events
from tests.golden.evidence.framing import Event, read_sse
from tests.golden.evidence.types import JsonObject, OpenCall, ToolCall

_DONE = "[DONE]"
_NO_OBJECT: JsonObject = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")


@dataclass(slots=True)
class Said:
    """One choice as a client reads it. `finishes` are all words that told its end, `details` the hidden reasoning."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    finishes: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    details: str = ""


class Reading(NamedTuple):
    """Choices in order, usage as it stands there, the error that a stream told, and what is wrong with the form."""

    choices: list[Said]
    usage: Any
    error: Any
    problems: list[str]


def read_whole(body: bytes, *, is_text: bool, is_passed: bool = False) -> Reading:
    """A complete chat, or a text completion; one that `is_passed` on keeps what its provider named it."""
    answer = _object(body.decode(errors="replace"))
    problems = list(_envelope_problems(answer, "text_completion" if is_text else "chat.completion", is_passed))
    choices: list[Said] = []
    for position, choice in enumerate(answer.get("choices") or []):
        if choice.get("index") != position:
            problems.append(f"choice {position} has the index {choice.get('index')!r}")
        message = choice.get("message") if not is_text else {"role": "assistant", "content": choice.get("text")}
        if not isinstance(message, dict) or message.get("role") != "assistant":
            problems.append(f"choice {position} has no message of the assistant")
        said = Said()
        problems += _add_message(message or {}, said)
        said.calls = [_whole_call(call, problems) for call in (message or {}).get("tool_calls") or []]
        said.finishes = [choice["finish_reason"]] if choice.get("finish_reason") else []
        choices.append(said)
    return Reading(choices, answer.get("usage"), None, problems)


def read_stream(body: bytes, *, is_text: bool, is_passed: bool = False) -> Reading:
    """A stream of chunks; those that are passed on keep what their provider named them."""
    return _StreamReader(is_text, is_passed).read(read_sse(body))


def read_message(answer: Answer) -> Reading:
    """A message in Anthropic's format, whole or streamed."""
    if not answer.is_stream:
        return _read_message(_object(answer.body.decode()), None, [])
    events = read_sse(answer.body)
    told = [_object(event.data) for event in events]
    problems = [f"the event {e.name!r} holds a {d.get('type')!r}" for e, d in zip(events, told, strict=True)]
    problems = [p for p, e, d in zip(problems, events, told, strict=True) if e.name != d.get("type")]
    error = next((event["error"] for event in told if event.get("type") == "error"), None)
    try:
        message, is_over = fold_events(told)
    except (KeyError, StopIteration, TypeError) as unfolded:
        return Reading([], None, error, [*problems, f"its events build no message: {unfolded!r}"])
    problems += _block_problems(told)
    if is_over == (error is not None):
        problems.append(
            "it ends well after an error" if is_over else "it ends without message_stop and without an error"
        )
    return _read_message(message, error, problems)


class _StreamReader:
    """What a stream of chunks has said so far."""

    def __init__(self, is_text: bool, is_passed: bool) -> None:
        self._is_text = is_text
        self._is_passed = is_passed
        self._choices: dict[int, Said] = {}
        self._calls: dict[int, dict[int, OpenCall]] = {}
        self._usages: list[Any] = []
        self._ids: set[Any] = set()
        self._error: Any = None
        self._problems: list[str] = []

    def read(self, events: list[Event]) -> Reading:
        is_done = bool(events) and events[-1].data == _DONE
        for event in events[:-1] if is_done else events:
            chunk = _object(event.data)
            if not chunk:
                self._problems.append(f"a data line is no JSON object: {event.data[:80]!r}")
            elif chunk.get("error"):
                self._error = chunk["error"]
            else:
                self._read_chunk(chunk)
        if is_done and self._error is not None:
            self._problems.append("it ends with [DONE] after an error")
        if not is_done and self._error is None:
            self._problems.append("it ends without [DONE] and without an error")
        if len(self._ids) > 1 and not self._is_passed:
            self._problems.append(f"its chunks have {len(self._ids)} ids")
        return Reading(self._closed(), self._usages[-1] if self._usages else None, self._error, self._problems)

    def _read_chunk(self, chunk: JsonObject) -> None:
        name = "text_completion" if self._is_text else "chat.completion.chunk"
        self._problems += [p for p in _envelope_problems(chunk, name, self._is_passed) if p not in self._problems]
        self._ids.add(chunk.get("id"))
        if chunk.get("usage"):
            self._usages.append(chunk["usage"])
        for choice in chunk.get("choices") or []:
            self._read_choice(choice)

    def _read_choice(self, choice: JsonObject) -> None:
        index = choice.get("index", -1)
        delta = {"content": choice.get("text")} if self._is_text else choice.get("delta") or {}
        if index not in self._choices:
            self._choices[index] = Said()
            if delta.get("role") != "assistant" and not self._is_text:
                self._problems.append(f"the first delta of choice {index} has no role")
        said = self._choices[index]
        self._problems += _add_message(delta, said)
        calls = self._calls.setdefault(index, {})
        for piece in delta.get("tool_calls") or []:
            function = piece.get("function") or {}
            at = piece.get("index")
            if at not in calls:
                calls[at] = OpenCall(function.get("name") or "", piece.get("id") or "")
                if at != len(calls) - 1 or not calls[at].name:
                    self._problems.append(
                        f"call {len(calls) - 1} begins with the index {at!r}, name {calls[at].name!r}"
                    )
            calls[at].pieces.append(str(function.get("arguments") or ""))
        if choice.get("finish_reason"):
            said.finishes.append(choice["finish_reason"])

    def _closed(self) -> list[Said]:
        for index, said in self._choices.items():
            said.calls = [call.close() for call in self._calls[index].values()]
        return [said for _, said in sorted(self._choices.items())]


def error_problems(body: Any) -> Iterator[str]:
    """Where an error's body is not OpenAI's."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        yield "the error has not OpenAI's shape"
        return
    if not isinstance(error.get("message"), str) or not error["message"]:
        yield "the error has no message"
    missing = [name for name in ("type", "param", "code") if name not in error]
    if missing:
        yield f"the error has no {' and no '.join(missing)}"


def anthropic_error_problems(body: Any) -> Iterator[str]:
    """Where an error's body is not Anthropic's."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or body.get("type") != "error":
        yield "the error has not Anthropic's shape"
    elif not error.get("message") or not error.get("type"):
        yield "the error has no message or no type"


def parse_object(text: str) -> JsonObject:
    """The JSON object that `text` is, an empty one where it is none."""
    return _object(text)


def _object(text: str) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError:
        return _NO_OBJECT
    return value if isinstance(value, dict) else _NO_OBJECT


def _envelope_problems(answer: JsonObject, name: str, is_passed: bool) -> Iterator[str]:
    if answer.get("object") != name and not (is_passed and answer.get("object")):
        yield f"object is {answer.get('object')!r}, not {name!r}"
    if not isinstance(answer.get("id"), str) or not answer["id"]:
        yield "it has no id"
    if type(answer.get("created")) is not int:
        yield f"created is {answer.get('created')!r}"
    if not isinstance(answer.get("model"), str) or not answer["model"]:
        yield "it names no model"
    if not isinstance(answer.get("choices"), list):
        yield "it has no list of choices"


def _add_message(message: JsonObject, said: Said) -> Iterator[str]:
    """Adds a message or a delta to `said`; what is wrong with it."""
    for name in ("content", "reasoning_content", "refusal"):
        value = message.get(name)
        if value is not None and not isinstance(value, str):
            yield f"{name} is no text but {type(value).__name__}"
            message = {**message, name: None}
    said.text += message.get("content") or ""
    said.reasoning += message.get("reasoning_content") or ""
    said.refusal += message.get("refusal") or ""
    said.details += "".join(_strings(message.get("reasoning_details")))


def _strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _strings(child)


def _whole_call(call: JsonObject, problems: list[str]) -> ToolCall:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if call.get("type") != "function" or not isinstance(arguments, str):
        problems.append(f"a call has the type {call.get('type')!r} and arguments that are {type(arguments).__name__}")
    return OpenCall(
        function.get("name") or "", call.get("id") or "", [arguments if isinstance(arguments, str) else ""]
    ).close()


def _read_message(message: JsonObject, error: Any, problems: list[str]) -> Reading:
    wanted = {"type": "message", "role": "assistant"}
    problems += [f"{name} is {message.get(name)!r}" for name, value in wanted.items() if message.get(name) != value]
    problems += [f"it has no {name}" for name in ("id", "model", "usage") if not message.get(name)]
    said = Said()
    for block in message.get("content") or []:
        match block.get("type"):
            case "text":
                said.text += block["text"]
            case "thinking":
                said.reasoning += block["thinking"]
                said.details += block.get("signature") or ""
            case "redacted_thinking":
                said.details += block.get("data") or ""
            case "tool_use":
                said.calls.append(ToolCall(block["name"], block.get("input") or {}, block.get("id") or ""))
            case other:
                problems.append(f"it has a block of the type {other!r}")
    said.finishes = [message["stop_reason"]] if message.get("stop_reason") else []
    return Reading([said], message.get("usage"), error, problems)


def _block_problems(events: list[JsonObject]) -> Iterator[str]:
    """Where blocks do not begin and end one after the other, numbered from 0."""
    is_open, count = False, 0
    for event in events:
        kind = event.get("type")
        if kind == "content_block_start":
            if is_open or event.get("index") != count:
                yield f"block {count} begins with the index {event.get('index')!r}, or inside another"
            is_open, count = True, count + 1
        elif kind in ("content_block_delta", "content_block_stop"):
            if not is_open or event.get("index") != count - 1:
                yield f"a {kind} is for block {event.get('index')!r}, not for the one that is open"
            is_open = kind == "content_block_delta"
        elif kind in ("message_delta", "message_stop") and is_open:
            yield f"{kind} comes inside a block"
