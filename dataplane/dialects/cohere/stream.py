"""A chat as a stream: Cohere's events, each as the chunks of the hub's that say the same."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.cohere.errors import parse_failure
from dataplane.dialects.cohere.payload import parse_answer
from dataplane.dialects.cohere.response import (
    REASONING_JOINT,
    envelope,
    finish_reason,
    hub_annotations,
    hub_call,
    hub_logprobs,
)
from dataplane.dialects.cohere.usage import hub_usage, parse_chat_usage, parse_counted_usage
from dataplane.dialects.hub import list_of, object_of, text_of
from dataplane.dialects.openai.content import message_bytes
from dataplane.dialects.openai.mending import encode
from dataplane.errors import UpstreamError, UpstreamErrorKind

_DONE: Final = b"[DONE]"


class CohereStreamParser:
    """`_positions` are the hub's numbers of calls by Cohere's, `_unargued` the calls that have no arguments yet.

    `_block` is the block of content under way, `_offsets` where in the text each begins; `_reasoned` is the block that
    reasoning came from last, the plan of calls being one too.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._envelope = envelope(call, "", "chat.completion.chunk")
        self._has_begun = False
        self._is_over = False
        self._positions: dict[int, int] = {}
        self._unargued: set[int] = set()
        self._ids: set[str] = set()
        self._call_count = 0
        self._offsets: dict[int, int] = {}
        self._text_length = 0
        self._reasoned: int | str | None = None

    @property
    def is_over(self) -> bool:
        return self._is_over

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        data = event.data
        if self._is_over or data.startswith(_DONE) or not data.strip():
            return ()
        payload = parse_answer(data)
        delta = object_of(payload.get("delta"))
        message = object_of(delta.get("message"))
        match payload.get("type") or event.event:
            case "message-start":
                return self._on_message_start(payload)
            case "content-start" | "content-delta":
                return self._on_content(payload, object_of(message.get("content")))
            case "tool-plan-delta":
                return self._reasoning(text_of(message.get("tool_plan")), "plan")
            case "tool-call-start":
                return self._on_call_start(payload, _first(message.get("tool_calls")))
            case "tool-call-delta":
                return self._on_call_delta(payload, _first(message.get("tool_calls")))
            case "tool-call-end":
                return self._on_call_end(payload)
            case "citation-start":
                return self._on_citation(message.get("citations"))
            case "message-end":
                return self._on_message_end(delta)
            case "error":
                raise parse_failure(payload)
        return ()

    def finish(self) -> Iterable[Frame]:
        if not self._is_over:
            said = "broke off its answer" if self._has_begun else "sent a stream that holds no answer"
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, f"The upstream {said}.")
        return ()

    def _on_message_start(self, payload: JsonObject) -> list[Frame]:
        if self._has_begun:
            return []
        self._envelope = envelope(self._call, payload.get("id"), "chat.completion.chunk")
        return self._prelude()

    def _on_content(self, payload: JsonObject, content: JsonObject) -> list[Frame]:
        block = _number(payload.get("index"))
        thinking, text = text_of(content.get("thinking")), text_of(content.get("text"))
        frames = self._reasoning(thinking, block) if thinking else []
        self._offsets.setdefault(block, self._text_length)
        if text:
            self._text_length += len(text)
            logprobs = hub_logprobs([payload["logprobs"]]) if payload.get("logprobs") else None
            frames += self._chunk({"content": text}, logprobs)
        return frames

    def _reasoning(self, text: str, block: int | str) -> list[Frame]:
        if not text:
            return []
        joint = "" if self._reasoned in (None, block) else REASONING_JOINT
        self._reasoned = block
        return self._chunk({"reasoning_content": joint + text})

    def _on_call_start(self, payload: JsonObject, told: Any) -> list[Frame]:
        position = self._positions[_number(payload.get("index"))] = self._call_count
        self._call_count += 1
        begun = hub_call(self._call, told, self._ids)
        if not begun["function"]["arguments"]:
            self._unargued.add(position)
        return self._chunk({"tool_calls": [{"index": position, **begun}]})

    def _on_call_delta(self, payload: JsonObject, told: Any) -> list[Frame]:
        """A fragment of arguments; one of a call that never began begins it."""
        position = self._positions.get(_number(payload.get("index")))
        if position is None:
            return self._on_call_start(payload, told)
        arguments = text_of(object_of(object_of(told).get("function")).get("arguments"))
        return self._arguments(position, arguments) if arguments else []

    def _on_call_end(self, payload: JsonObject) -> list[Frame]:
        position = self._positions.get(_number(payload.get("index")))
        return self._arguments(position, "{}") if position in self._unargued and position is not None else []

    def _arguments(self, position: int, text: str) -> list[Frame]:
        self._unargued.discard(position)
        return self._chunk({"tool_calls": [{"index": position, "function": {"arguments": text}}]})

    def _on_citation(self, told: Any) -> list[Frame]:
        citations = [told] if isinstance(told, dict) else list_of(told)
        if not citations:
            return []
        annotations = []
        for citation in citations:
            offset = self._offsets.get(_number(object_of(citation).get("content_index")), 0)
            annotations += hub_annotations(citation, offset)
        cited: JsonObject = {"citations": citations}
        if annotations:
            cited["annotations"] = annotations
        frames = self._chunk(cited)
        frames[-1].text_bytes = frames[-1].deltas = 0
        return frames

    def _on_message_end(self, delta: JsonObject) -> Iterator[Frame]:
        """The end of the choice, then the usage. Raises UpstreamError when the answer failed, after what it used."""
        told = self._usage(delta.get("usage"))
        try:
            reason = finish_reason(delta.get("finish_reason"), delta, self._call_count > 0)
        except UpstreamError:
            if told.usage is not None:
                told.is_content = False
                yield told
            raise
        for position in sorted(self._unargued):
            yield from self._arguments(position, "{}")
        yield from self._prelude()
        self._is_over = True
        ended = {"index": 0, "delta": {}, "finish_reason": reason, "logprobs": None}
        yield Frame(encode(self._envelope | {"choices": [ended]}))
        yield told

    def _usage(self, reported: Any) -> Frame:
        chunk = self._envelope | {"choices": [], "usage": hub_usage(parse_counted_usage(reported))}
        return Frame(encode(chunk), usage=parse_chat_usage(reported), is_usage_only=True)

    def _prelude(self) -> list[Frame]:
        """The chunk that tells the role, which every stream begins with."""
        if self._has_begun:
            return []
        self._has_begun = True
        begun = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None, "logprobs": None}
        return [Frame(encode(self._envelope | {"choices": [begun]}), is_content=False)]

    def _chunk(self, delta: JsonObject, logprobs: JsonObject | None = None) -> list[Frame]:
        frames = self._prelude()
        choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": logprobs}
        frames.append(Frame(encode(self._envelope | {"choices": [choice]}), text_bytes=message_bytes(delta), deltas=1))
        return frames


def _first(told: Any) -> Any:
    """The one call of an event, told alone or in a list."""
    return told[0] if isinstance(told, list) and told else told


def _number(value: Any) -> int:
    return value if type(value) is int else 0
