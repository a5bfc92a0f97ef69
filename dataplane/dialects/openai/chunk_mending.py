"""Chunks of a stream put right as they pass, where a compatible provider writes them otherwise than OpenAI does."""

from dataclasses import dataclass
from typing import Any

from dataplane.call import Call, JsonObject
from dataplane.dialects.openai.mending import (
    FINISHES,
    TEXT,
    begin_call,
    call_token,
    fill_envelope,
    mend_arguments,
    mend_finish,
    mend_message,
)

_ENVELOPE = frozenset(("id", "object", "created", "model", "choices"))
_MENDED = frozenset(("reasoning", "reasoning_details", "tool_calls"))
_NO_CHUNK: JsonObject = {}


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

    `begun` are the indexes of choices that have begun, which it adds to; `_is_whole` says that nothing lacks around
    them, `_last` is the chunk before, `_held` what came in a chunk that was none of the answer: the next one carries
    it.
    """

    __slots__ = ("_begun", "_call", "_calls", "_held", "_is_whole", "_last")

    def __init__(self, call: Call | None, begun: list[int]) -> None:
        self._call = call
        self._calls = _StreamedCalls(call_token(call))
        self._begun = begun
        self._is_whole = False
        self._last = _NO_CHUNK
        self._held = _NO_CHUNK

    def holds_back(self, payload: JsonObject) -> bool:
        """Whether `payload` is no chunk of the answer: it has no choices, no usage and no id."""
        if payload.get("choices") or payload.get("usage") or payload.get("id"):
            return False
        self._held = self._held | {name: value for name, value in payload.items() if name not in _ENVELOPE}
        return True

    def mend_envelope(self, payload: JsonObject, choices: list[Any]) -> bool:
        """Mends what is around the choices; the first chunk tells whether there is anything to do with the others."""
        last, self._last = self._last, payload
        if choices and self._is_whole and payload.get("id"):
            return False
        has_changed = fill_envelope(payload, last, self._call, is_chunk=True)
        if choices:
            self._is_whole = not has_changed
            for name, value in self._held.items():
                has_changed |= payload.setdefault(name, value) is value
            self._held = _NO_CHUNK
        return has_changed

    def end(self, unfinished: list[int]) -> JsonObject:
        """The chunk that ends the choices which the provider left without an end, though it ended the stream."""
        is_text = self._last.get("object") == "text_completion"
        nothing: JsonObject = {"text": ""} if is_text else {"delta": {}}
        ended = [
            {"index": index, **nothing, "logprobs": None, "finish_reason": self._calls.finish(index)}
            for index in unfinished
        ]
        envelope = {name: self._last[name] for name in _ENVELOPE if name in self._last}
        return envelope | {"choices": ended}

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
        if type(delta) is dict:
            has_changed |= self._mend_delta(index, delta, is_first)
        return has_changed

    def _mend_delta(self, index: int, delta: JsonObject, is_first: bool) -> bool:
        has_changed = mend_message(delta)
        if is_first and not delta.get("role"):
            delta["role"] = "assistant"
            has_changed = True
        calls = delta.get("tool_calls")
        if type(calls) is list:
            has_changed |= self._calls.mend(index, calls)
        return has_changed


@dataclass(slots=True)
class _StreamedCall:
    """A tool call that has begun: its index in the stream that goes out, and the id that the provider gave it."""

    index: int
    given_id: Any


class _StreamedCalls:
    """The tool calls of a stream: one index and one id for each, whatever the provider says of them.

    `_open` are the latest calls by choice and by the index that the provider gave them, `_taken` all indexes that went
    out, by choice.
    """

    __slots__ = ("_ids", "_open", "_taken", "_token")

    def __init__(self, token: str) -> None:
        self._token = token
        self._open: dict[tuple[int, int], _StreamedCall] = {}
        self._taken: dict[int, set[int]] = {}
        self._ids: set[str] = set()

    def finish(self, choice: int) -> str:
        """What a choice ends with that does not say so itself."""
        return "tool_calls" if choice in self._taken else "stop"

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
        if known is None or _is_another(known, call):
            taken = self._taken.setdefault(choice, set())
            known = _StreamedCall(max(taken) + 1 if at in taken else at, call.get("id"))
            self._open[choice, at] = known
            taken.add(known.index)
            has_changed |= begin_call(call, self._ids, f"{self._token}{choice}{known.index}")
        if type(said) is not int or said != known.index:
            call["index"] = known.index
            has_changed = True
        return has_changed


def _is_another(known: _StreamedCall, call: JsonObject) -> bool:
    """Whether `call` begins a call, though it has the index of one that has begun."""
    function = call.get("function")
    has_name = isinstance(function, dict) and bool(function.get("name"))
    given = call.get("id")
    return has_name and (not given or given != known.given_id)
