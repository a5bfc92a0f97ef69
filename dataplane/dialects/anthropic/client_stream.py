"""The hub's stream of chunks as the server-sent events of Anthropic's Messages API."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.anthropic.client_errors import render_error
from dataplane.dialects.anthropic.client_result import (
    FORMAT,
    Piece,
    Redacted,
    Signature,
    Text,
    Thinking,
    ToolCall,
    choice_of,
    is_object,
    json_object,
    message_id,
    model_of,
    pieces_of,
    plain_reasoning,
    render_message,
    stop_of,
    tool_use_id,
)
from dataplane.dialects.anthropic.client_usage import render_usage, told_usage
from dataplane.dialects.base import Frame
from dataplane.dialects.hub import object_of
from dataplane.errors import GatewayError
from tollway.kernel.usage import Usage

_MEMBER: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class AnthropicStreamRenderer:
    """`_blocks` is None until the message has begun; `_end` is the choice that said why the answer ended.

    The end is told, once, with the usage that comes after it. `_is_passing` says that events come in Anthropic's own
    format, which have their own end; when `_is_over`, nothing more is written.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._blocks: _Blocks | None = None
        self._usage: Usage | None = None
        self._end: JsonObject = {}
        self._has_told_reasoning = False
        self._is_refused = False
        self._is_told = False
        self._is_passing = False
        self._is_over = False

    def feed(self, frame: Frame) -> bytes:
        if self._is_over or self._is_told or not frame.data:
            return b""
        if frame.format == FORMAT:
            self._is_passing = True
            name = frame.event.encode()
            return (b"event: " + name + b"\n" if name else b"") + b"data: " + frame.data + b"\n\n"
        return self._on_chunk(json_object(frame.data), frame)

    def finish(self) -> bytes:
        if self._is_over or self._is_passing:
            return b""
        written = b"" if self._blocks else self._on_chunk({}, Frame(b"{}"))
        written += self._told_end()
        self._is_over = True
        return written + _event("message_stop", {})

    def fail(self, error: GatewayError) -> bytes:
        self._is_over = True
        return b"event: error\ndata: " + orjson.dumps(render_error(error)) + b"\n\n"

    def _on_chunk(self, payload: JsonObject, frame: Frame) -> bytes:
        written = b""
        self._usage = told_usage(payload, frame) or self._usage
        if self._blocks is None:
            identity = message_id(payload, self._call)
            message = render_message(identity, model_of(payload, frame, self._call), self._usage)
            written = _event("message_start", {"message": message})
            self._blocks = _Blocks(identity)
        choice = choice_of(payload)
        self._on_delta(object_of(choice.get("delta")), self._blocks)
        if choice.get("finish_reason"):
            self._end = choice
        written += self._blocks.written(is_end=bool(self._end))
        return written + self._told_end() if self._end and frame.is_usage_only else written

    def _on_delta(self, delta: JsonObject, blocks: "_Blocks") -> None:
        for piece in pieces_of(delta, has_told_reasoning=self._has_told_reasoning):
            blocks.add(piece)
        self._has_told_reasoning = self._has_told_reasoning or bool(plain_reasoning(delta))
        self._is_refused = self._is_refused or bool(delta.get("refusal"))

    def _told_end(self) -> bytes:
        """The end of the last block, and why and with which usage the answer ended; once."""
        if self._is_told or self._blocks is None:
            return b""
        self._is_told = True
        written = self._blocks.written(is_end=True)
        reason, sequence = stop_of(self._call, self._end, has_tools=self._blocks.has_tools, is_refused=self._is_refused)
        end = {"stop_reason": reason, "stop_sequence": sequence}
        return written + _event("message_delta", {"delta": end, "usage": render_usage(self._usage)})


@dataclass(slots=True)
class _Block:
    """One block of content; `index` is its place in the answer, -1 until it is begun.

    `deltas` are not written yet, and `blank` is white space that nothing else has followed. `pieces` are all that came
    of a tool call's arguments; `has_all` is known of the first `checked` of them.
    """

    kind: str
    data: str = ""
    id: str = ""
    name: str = ""
    index: int = -1
    deltas: list[JsonObject] = field(default_factory=list)
    blank: str = ""
    is_blank: bool = True
    is_signed: bool = False
    is_closed: bool = False
    pieces: list[str] = field(default_factory=list)
    checked: int = 0
    has_all: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether there is something to begin it for."""
        return bool(self.name) if self.kind == "tool_use" else not (self.kind == "text" and self.is_blank)

    def add(self, kind: str, text: str) -> None:
        """Adds a delta, but for white space before text or arguments, which waits for them."""
        text, self.blank = self.blank + text, ""
        if self.is_blank and self.kind != "thinking" and not text.strip():
            self.blank = text
            return
        self.is_blank = False
        self.deltas.append({"type": kind, _MEMBER[kind]: text})

    def is_complete(self) -> bool:
        """Whether nothing is to be expected that would go into this block, now that another one has come."""
        if self.kind == "tool_use" and self.checked < len(self.pieces):
            self.checked = len(self.pieces)
            is_at_brace = not self.pieces[-1].strip() or self.pieces[-1].rstrip().endswith("}")
            self.has_all = is_at_brace and is_object("".join(self.pieces))
        return self.has_all or self.kind != "tool_use"

    def start(self) -> JsonObject:
        match self.kind:
            case "tool_use":
                return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
            case "redacted_thinking":
                return {"type": "redacted_thinking", "data": self.data}
            case _:
                return {"type": "text", "text": ""}


class _Blocks:
    """The blocks of one answer, which are told one after another: those in `_waiting`, but the first, are held back."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._waiting: deque[_Block] = deque()
        self._calls: dict[int | None, _Block] = {}
        self._begun = 0
        self._begun_calls = 0

    @property
    def has_tools(self) -> bool:
        return self._begun_calls > 0

    def add(self, piece: Piece) -> None:
        match piece:
            case Text(text):
                self._last("text").add("text_delta", text)
            case Thinking(text):
                self._last("thinking").add("thinking_delta", text)
            case Signature(signature):
                block = self._last("thinking")
                block.is_signed = True
                block.deltas.append({"type": "signature_delta", "signature": signature})
            case Redacted(data):
                self._waiting.append(_Block("redacted_thinking", data))
            case ToolCall():
                self._add_to_call(piece)

    def written(self, *, is_end: bool) -> bytes:
        """Events for what can be told by now, and for all of it at the end."""
        events: list[bytes] = []
        while self._waiting:
            block = self._waiting[0]
            if block.is_ready:
                self._write(block, events)
            if not is_end and (len(self._waiting) == 1 or not block.is_complete()):
                break
            if block.index >= 0:
                events.append(_event("content_block_stop", {"index": block.index}))
            block.is_closed = True
            self._waiting.popleft()
        return b"".join(events)

    def _write(self, block: _Block, events: list[bytes]) -> None:
        if block.index < 0:
            block.index, self._begun = self._begun, self._begun + 1
            if block.kind == "tool_use":
                block.id = block.id or tool_use_id(self._identity, self._begun_calls)
                self._begun_calls += 1
            events.append(_event("content_block_start", {"index": block.index, "content_block": block.start()}))
        events += [_event("content_block_delta", {"index": block.index, "delta": delta}) for delta in block.deltas]
        block.deltas = []

    def _last(self, kind: str) -> _Block:
        """The last block where it is of `kind` and still open, else a new one."""
        last = self._waiting[-1] if self._waiting else None
        if last is None or last.kind != kind or last.is_signed:
            last = _Block(kind)
            self._waiting.append(last)
        return last

    def _add_to_call(self, piece: ToolCall) -> None:
        block = self._calls.get(piece.number)
        if block is None or _is_another(block, piece):
            block = self._calls[piece.number] = _Block("tool_use", id=piece.id, name=piece.name)
            self._waiting.append(block)
        if block.is_closed:
            return
        block.name = block.name or piece.name
        if piece.arguments:
            block.pieces.append(piece.arguments)
            block.add("input_json_delta", piece.arguments)


def _is_another(block: _Block, piece: ToolCall) -> bool:
    """Whether `piece` begins a call of its own, though it has the same number as `block`, or none either."""
    if piece.id:
        return bool(block.id) and piece.id != block.id
    return piece.number is None and bool(piece.name) and bool(block.name)


def _event(name: str, members: JsonObject) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps({"type": name, **members}) + b"\n\n"
