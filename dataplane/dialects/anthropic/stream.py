"""A stream of the Messages API, translated into the hub's chunks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.anthropic.answer import (
    TEXT_OF,
    annotations,
    envelope,
    finish_reason,
    model_of,
    openai_tier,
    refusal_of,
)
from dataplane.dialects.anthropic.events import check_ended, content_events, has_ended, objects_of, parse_event
from dataplane.dialects.anthropic.reasoning import redacted_detail, signed_detail
from dataplane.dialects.anthropic.usage import (
    answer_usage,
    begun_usage,
    merged_usage,
    parse_service_tier,
    parse_usage,
)
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.claude import answer_tool_name
from dataplane.dialects.hub import list_of, object_of, text_of, usage_object
from dataplane.dialects.openai.content import text_bytes
from dataplane.dialects.openai.mending import encode, tool_call
from tollway.kernel.usage import Usage

_CALL: Final = "tool_use"
_ENDS: Final = ("stop_reason", "stop_sequence", "stop_details")


@dataclass(slots=True)
class _Block:
    """A content block under way: `call` is its number among the client's tools, None for any other block.

    `input` is what a tool's use began with: usually nothing, its text then comes in pieces.
    """

    kind: str
    start: int = 0
    call: int | None = None
    input: Any = None
    has_text: bool = False
    text: str = ""
    signature: str = ""
    citations: list[Any] = field(default_factory=list)


class AnthropicStreamParser:
    """State of one stream: the blocks under way by index, and what was said of the whole message."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._answer_tool = answer_tool_name(call.body)
        self._message: JsonObject = {}
        self._envelope = envelope(call, {}, "chat.completion.chunk")
        self._around: dict[str, tuple[bytes, bytes]] = {}
        self._blocks: dict[int, _Block] = {}
        self._usage: JsonObject = {}
        self._stop: JsonObject = {}
        self._ids: set[str] = set()
        self._calls = 0
        self._details = 0
        self._characters = 0
        self._has_begun = False
        self._is_over = False

    @property
    def is_over(self) -> bool:
        return self._is_over

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        payload = None if self._is_over else parse_event(event)
        if payload is None:
            return ()
        match payload["type"]:
            case "message_start":
                return self._on_message_start(payload)
            case "content_block_start":
                return self._on_block_start(payload)
            case "content_block_delta":
                return self._on_block_delta(payload)
            case "content_block_stop":
                return self._on_block_stop(payload)
            case "message_delta":
                return self._on_message_delta(payload)
            case "message_stop":
                return self._on_message_stop()
        return ()

    def finish(self) -> Iterable[Frame]:
        check_ended(self._has_begun, self._is_over)
        return ()

    def _on_message_start(self, payload: JsonObject) -> list[Frame]:
        """Begins the message, once, with the content and the end that it may have already."""
        message = object_of(payload.get("message"))
        self._usage = merged_usage(self._usage, begun_usage(message))
        if self._has_begun:
            return []
        self._has_begun, self._message = True, message
        self._envelope = envelope(self._call, message, "chat.completion.chunk")
        self._around.clear()
        self._stop = {name: message.get(name) for name in _ENDS}
        frame = self._chunk({"role": "assistant", "content": ""})
        frame.is_content = False
        self._tell_usage(frame)
        said = content_events(objects_of(message.get("content")))
        return [frame, *(frame for event in said for frame in self.feed(event))]

    def _on_block_start(self, payload: JsonObject) -> list[Frame]:
        begun = object_of(payload.get("content_block"))
        block = _Block(text_of(begun.get("type")), start=self._characters)
        self._blocks[_index(payload)] = block
        if block.kind == _CALL:
            return self._on_use(block, begun)
        if block.kind in TEXT_OF:
            block.citations = list(list_of(begun.get("citations")))
            return self._on_text(block, begun.get(TEXT_OF[block.kind]))
        if block.kind == "thinking":
            block.signature = text_of(begun.get("signature"))
            return self._on_thinking(block, begun.get("thinking"))
        if block.kind == "redacted_thinking" and (data := text_of(begun.get("data"))):
            self._details += 1
            return [self._chunk({"reasoning_details": [redacted_detail(data, self._details - 1)]})]
        return []

    def _on_block_delta(self, payload: JsonObject) -> list[Frame]:
        delta = object_of(payload.get("delta"))
        kind = text_of(delta.get("type"))
        block = self._block(_index(payload), kind)
        match kind:
            case "text_delta" | "connector_text_delta" if block.kind in TEXT_OF:
                return self._on_text(block, delta.get(TEXT_OF[block.kind]))
            case "input_json_delta" if block.kind == _CALL:
                return self._on_input(block, text_of(delta.get("partial_json")))
            case "thinking_delta" if block.kind == "thinking":
                return self._on_thinking(block, delta.get("thinking"))
            case "signature_delta":
                block.signature += text_of(delta.get("signature"))
            case "citations_delta":
                block.citations.append(delta.get("citation"))
        return []

    def _on_block_stop(self, payload: JsonObject) -> list[Frame]:
        block = self._blocks.pop(_index(payload), None)
        if block is None:
            return []
        if block.kind == _CALL and not block.has_text:
            return self._on_input(block, encode(block.input or {}).decode())
        if block.kind == "thinking" and block.signature:
            self._details += 1
            return [self._chunk({"reasoning_details": [signed_detail(block.text, block.signature, self._details - 1)]})]
        noted = annotations(block.citations, block.start, self._characters)
        return [self._chunk({"annotations": noted})] if noted else []

    def _on_message_delta(self, payload: JsonObject) -> list[Frame]:
        """Notes how the message ended and what it used: later words of both count.

        What is used up once it has ended is said at once, to none but the meter: the stream may yet break off.
        """
        self._stop |= object_of(payload.get("delta"))
        self._usage = merged_usage(self._usage, payload.get("usage"))
        if not has_ended(payload) or parse_usage(self._usage) is None:
            return []
        frame = Frame(b"", model=model_of(self._message), is_usage_only=True)
        self._tell_usage(frame)
        return [frame]

    def _on_message_stop(self) -> list[Frame]:
        check_ended(self._has_begun, True)
        self._is_over = True
        owed = [frame for index in list(self._blocks) for frame in self._on_block_stop({"index": index})]
        refusal = refusal_of(self._stop)
        if refusal is not None:
            owed.append(self._chunk({"refusal": refusal}))
        ended = self._chunk({}, finish_reason(self._stop.get("stop_reason"), self._calls > 0))
        usage = answer_usage(self._usage)
        return [*owed, ended] if usage is None else [*owed, ended, self._usage_chunk(usage)]

    def _block(self, index: int, kind: str) -> _Block:
        """The block that a delta of `kind` belongs to, which may not have been begun."""
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(kind.removesuffix("_delta"), start=self._characters)
        return block

    def _on_use(self, block: _Block, begun: JsonObject) -> list[Frame]:
        block.input = begun.get("input")
        name = text_of(begun.get("name"))
        if self._answer_tool is not None and name == self._answer_tool:
            return []
        block.call, self._calls = self._calls, self._calls + 1
        used = {"index": block.call, **tool_call(self._call, text_of(begun.get("id")), name, "", self._ids)}
        return [self._chunk({"tool_calls": [used]}, size=text_bytes(name))]

    def _on_input(self, block: _Block, text: str) -> list[Frame]:
        if not text:
            return []
        block.has_text = True
        if block.call is None:
            return self._on_text(block, text)
        call = {"index": block.call, "function": {"arguments": text}}
        return [self._chunk({"tool_calls": [call]}, size=text_bytes(text))]

    def _on_text(self, block: _Block, text: Any) -> list[Frame]:
        if not isinstance(text, str) or not text:
            return []
        self._characters += len(text)
        return [self._text_chunk("content", text)]

    def _on_thinking(self, block: _Block, text: Any) -> list[Frame]:
        if not isinstance(text, str) or not text:
            return []
        block.text += text
        return [self._text_chunk("reasoning_content", text)]

    def _text_chunk(self, member: str, text: str) -> Frame:
        """What `_chunk` makes of a delta with one text: nearly all chunks are such, and differ in it alone."""
        around = self._around.get(member)
        if around is None:
            head, _, tail = self._chunk({member: ""}).data.rpartition(b'""')
            around = self._around[member] = (head, tail)
        data = b"%b%b%b" % (around[0], encode(text), around[1])
        return Frame(data, model=model_of(self._message), text_bytes=text_bytes(text), deltas=1)

    def _chunk(self, delta: JsonObject, finish: str | None = None, size: int = 0) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        data = encode({**self._envelope, "choices": [choice]})
        return Frame(data, model=model_of(self._message), text_bytes=size, deltas=1 if size else 0)

    def _usage_chunk(self, usage: Usage) -> Frame:
        chunk: JsonObject = {**self._envelope, "choices": [], "usage": usage_object(usage)}
        if (tier := openai_tier(self._usage)) is not None:
            chunk["service_tier"] = tier
        frame = Frame(encode(chunk), model=model_of(self._message), is_usage_only=True)
        self._tell_usage(frame)
        return frame

    def _tell_usage(self, frame: Frame) -> None:
        frame.usage, frame.service_tier = parse_usage(self._usage), parse_service_tier(self._usage)


def _index(payload: JsonObject) -> int:
    """The number of a block: what cannot be one is 0."""
    index = payload.get("index")
    return index if isinstance(index, int) else 0
