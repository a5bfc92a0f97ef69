"""Chunks of a stream put right as they pass, where a compatible provider writes them otherwise than OpenAI does."""

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from dataplane.call import Call, JsonObject
from dataplane.dialects.openai.mending import (
    FINISHES,
    TEXT,
    TEXT_COMPLETION,
    begin_call,
    call_token,
    fill_envelope,
    mend_arguments,
    mend_finish,
    mend_message,
)
from dataplane.dialects.openai.payload import parse_payload

_NAMES = ("id", "object", "created", "model")
_ENVELOPE = frozenset((*_NAMES, "choices"))
_CHOICES = b'"choices":'
_LAST = "chat.completion.done"
"""Perplexity's name for the last chunk of a stream."""
_MENDED = frozenset(("reasoning", "reasoning_details", "tool_calls", "function_call"))
_AROUND = itemgetter(*_NAMES)
_NO_CHUNK: JsonObject = {}
_UNKNOWN, _NONE = b"?", b"}"
"""Openings that no chunk has: one that is still to be found, and that of chunks which have none."""


def is_ordinary(choice: JsonObject) -> bool:
    """Whether nothing in `choice`, which has begun before, can be wrong: so it is with nearly all."""
    delta = choice.get("delta")
    return (
        type(delta) is dict
        and _MENDED.isdisjoint(delta)
        and type(delta.get("content")) in TEXT
        and choice.get("finish_reason") in FINISHES
    )


class ChunkMender:
    """What one stream has told so far.

    `begun` are the indexes of choices that have begun, which it adds to; `_around` is what is around the choices of the
    chunk before, where the next one needs no mending if it has the same, `_known` the chunk itself; `_opening` are the
    bytes that say so at once, as far as the choices. `_held` is what came in a chunk that was none of the answer: the
    next one carries it. `_is_named` says that the id was made here, `is_last` that a chunk was named the last one.
    """

    __slots__ = ("_around", "_begun", "_call", "_calls", "_held", "_is_named", "_known", "_opening", "is_last")

    def __init__(self, call: Call | None, begun: list[int]) -> None:
        self._call = call
        self._calls = _StreamedCalls(call_token(call))
        self._begun = begun
        self._around: tuple[Any, ...] = ()
        self._known = _NO_CHUNK
        self._held = _NO_CHUNK
        self._is_named = False
        self.is_last = False
        self._opening = _UNKNOWN

    def holds_back(self, payload: JsonObject) -> bool:
        """Whether `payload` is no chunk of the answer: it has no choices, no usage and no id."""
        if payload.get("choices") or payload.get("usage") or payload.get("id"):
            return False
        self._held = self._held | {name: value for name, value in payload.items() if name not in _ENVELOPE}
        self._around, self._opening = (), _UNKNOWN
        return True

    def mend_envelope(self, payload: JsonObject, choices: list[Any], data: bytes) -> bool:
        """Mends what is around the choices of `data`; nearly all chunks have there what the one before has."""
        if choices and data.startswith(self._opening):
            return False
        try:
            if choices and _AROUND(payload) == self._around:
                if self._opening == _UNKNOWN:
                    self._opening = _opening(data, self._around)
                return False
        except KeyError:
            pass
        return self._fill(payload, choices)

    def _fill(self, payload: JsonObject, choices: list[Any]) -> bool:
        known = self._known
        self.is_last = self.is_last or payload.get("object") == _LAST
        if known is _NO_CHUNK:
            self._is_named = not payload.get("id")
        elif self._is_named:
            payload["id"] = None
        has_changed = fill_envelope(payload, known, self._call, is_chunk=True)
        self._known, self._around, self._opening = payload, (), _UNKNOWN
        if choices:
            self._around = _AROUND(payload)
            for name, value in self._held.items():
                has_changed |= payload.setdefault(name, value) is value
            self._held = _NO_CHUNK
        return has_changed

    def end(self, unfinished: list[int]) -> JsonObject:
        """The chunk that ends the choices which the provider left without an end, though it ended the stream."""
        nothing: JsonObject = {"text": ""} if self._is_text() else {"delta": {}}
        ended = [
            {"index": index, **nothing, "logprobs": None, "finish_reason": self._calls.finish(index)}
            for index in unfinished
        ]
        return self.chunk(ended)

    def chunk(self, choices: list[JsonObject]) -> JsonObject:
        """A chunk of this stream with `choices`."""
        return {name: self._known[name] for name in _NAMES} | {"choices": choices}

    def _is_text(self) -> bool:
        return bool(self._known.get("object") == TEXT_COMPLETION)

    def mend_choice(self, choice: JsonObject) -> bool:
        """Mends a choice of the chunk. Raises UpstreamError where it ended because the generation failed."""
        has_changed = mend_finish(choice)
        index = choice.get("index")
        if type(index) is not int:
            index = choice["index"] = 0
            has_changed = True
        is_first = index not in self._begun
        if is_first:
            self._begun.append(index)
        delta = choice.get("delta")
        if type(delta) is not dict:
            if self._is_text():
                return has_changed
            whole = choice.pop("message") if is_first and type(choice.get("message")) is dict else {}
            delta = choice["delta"] = whole
            has_changed = True
        return self._mend_delta(index, delta, is_first) or has_changed

    def _mend_delta(self, index: int, delta: JsonObject, is_first: bool) -> bool:
        has_changed = mend_message(delta)
        if is_first and not delta.get("role"):
            delta["role"] = "assistant"
            has_changed = True
        calls = delta.get("tool_calls")
        if type(calls) is list:
            has_changed |= self._calls.mend(index, calls)
        if delta.get("function_call"):
            self._calls.note_function(index)
        return has_changed


def _opening(data: bytes, around: tuple[Any, ...]) -> bytes:
    """`data` as far as its choices, where all of what is `around` them stands before them."""
    before, choices, _ = data.partition(_CHOICES)
    try:
        told = parse_payload(before.rstrip().removesuffix(b",") + b"}")
        return before + choices if choices and _AROUND(told) == around else _NONE
    except (ValueError, KeyError):
        return _NONE


@dataclass(slots=True)
class _StreamedCall:
    """A tool call that has begun: its index and id in the stream that goes out, and what the provider told of it."""

    index: int
    id: str
    given_id: Any
    has_name: bool
    has_arguments: bool

    def go_on(self, call: JsonObject) -> bool:
        """Takes in `call`, which is a piece of this one, and gives it the one id where it has another."""
        given_id = call.get("id")
        self.given_id = self.given_id or given_id
        self.has_name = self.has_name or bool(_told(call, "name"))
        self.has_arguments = self.has_arguments or bool(_told(call, "arguments"))
        if not given_id or given_id == self.id:
            return False
        call["id"] = self.id
        return True


class _StreamedCalls:
    """The tool calls of a stream: one index and one id for each, whatever the provider says of them.

    `_open` are the latest calls by choice and by the index that the provider gave them, `_taken` all indexes that went
    out, by choice; `_functions` are the choices that call a function in the words that were used before tools.
    """

    __slots__ = ("_functions", "_ids", "_open", "_taken", "_token")

    def __init__(self, token: str) -> None:
        self._token = token
        self._open: dict[tuple[int, int], _StreamedCall] = {}
        self._taken: dict[int, set[int]] = {}
        self._ids: set[str] = set()
        self._functions: set[int] = set()

    def note_function(self, choice: int) -> None:
        self._functions.add(choice)

    def finish(self, choice: int) -> str:
        """What a choice ends with that does not say so itself."""
        if choice in self._taken:
            return "tool_calls"
        return "function_call" if choice in self._functions else "stop"

    def mend(self, choice: int, calls: list[Any]) -> bool:
        has_changed = False
        for position, call in enumerate(calls):
            if type(call) is dict and self._mend_call(choice, position, call):
                has_changed = True
        return has_changed

    def _mend_call(self, choice: int, position: int, call: JsonObject) -> bool:
        has_changed = mend_arguments(call)
        said = call.get("index")
        at = said if type(said) is int else position
        known = self._open.get((choice, at))
        if known is not None and not _is_another(known, call):
            has_changed |= known.go_on(call)
        else:
            taken, given_id = self._taken.setdefault(choice, set()), call.get("id")
            index = max(taken) + 1 if at in taken else at
            taken.add(index)
            has_changed |= begin_call(call, self._ids, f"{self._token}{choice}{index}")
            known = self._open[choice, at] = _StreamedCall(
                index, call["id"], given_id, bool(_told(call, "name")), bool(_told(call, "arguments"))
            )
        if type(said) is not int or said != known.index:
            call["index"] = known.index
            has_changed = True
        return has_changed


def _is_another(known: _StreamedCall, call: JsonObject) -> bool:
    """Whether `call` begins a call, though it has the index of one that has begun.

    So it does with another id, and a name or nothing at all to add to what is called; or with another name, but that
    may be the rest of a name where there are no arguments yet.
    """
    given_id, has_name = call.get("id"), bool(_told(call, "name"))
    if given_id and known.given_id:
        is_bare = known.has_arguments and _told(call, "arguments") is None
        return bool(given_id != known.given_id and (has_name or is_bare))
    return has_name and known.has_name and (known.has_arguments or not known.given_id)


def _told(call: JsonObject, name: str) -> Any:
    """What `call` tells of its function under `name`, None where it tells nothing."""
    function = call.get("function")
    return function.get(name) if isinstance(function, dict) else None
