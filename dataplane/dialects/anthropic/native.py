"""A stream of the Messages API for a client that speaks it: each event passes as the bytes that came."""

from collections.abc import Iterable
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.anthropic.answer import model_of
from dataplane.dialects.anthropic.events import check_ended, has_ended, objects_of, parse_event
from dataplane.dialects.anthropic.response import block_bytes
from dataplane.dialects.anthropic.usage import begun_usage, merged_usage, parse_service_tier, parse_usage
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai.content import text_bytes

_TEXTS: Final = ("text", "thinking", "partial_json", "connector_text")
_HOLLOW: Final = ("text", "thinking", "connector_text")


class NativeStreamParser:
    """Reads of each event only what metering needs."""

    def __init__(self, call: Call) -> None:
        self._format = call.endpoint.format
        self._usage: JsonObject = {}
        self._has_begun = False
        self._is_over = False

    @property
    def is_over(self) -> bool:
        return self._is_over

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        payload = None if self._is_over else parse_event(event)
        if payload is None:
            return ()
        data = event.data.replace(b"\n", b" ") if b"\n" in event.data else event.data
        frame = Frame(data, event=event.event or payload["type"], format=self._format)
        match payload["type"]:
            case "message_start":
                self._on_message_start(payload, frame)
            case "content_block_start":
                self._on_block_start(payload, frame)
            case "content_block_delta":
                self._on_block_delta(payload, frame)
            case "message_delta":
                self._on_usage(payload.get("usage"), frame)
                frame.is_usage_only = frame.usage is not None and has_ended(payload)
            case "message_stop":
                self._is_over = True
            case "ping":
                frame.is_content = False
        return (frame,)

    def finish(self) -> Iterable[Frame]:
        check_ended(self._has_begun, self._is_over)
        return ()

    def _on_message_start(self, payload: JsonObject, frame: Frame) -> None:
        self._has_begun = True
        message = payload.get("message")
        frame.is_content = False
        if isinstance(message, dict):
            content = objects_of(message.get("content"))
            _count(frame, sum([block_bytes(block) for block in content]))
            frame.is_content = bool(content)
            frame.model = model_of(message)
            self._on_usage(begun_usage(message), frame)

    def _on_block_start(self, payload: JsonObject, frame: Frame) -> None:
        block = payload.get("content_block")
        if isinstance(block, dict):
            _count(frame, block_bytes(block))
            frame.is_content = frame.text_bytes > 0 or block.get("type") not in _HOLLOW

    def _on_block_delta(self, payload: JsonObject, frame: Frame) -> None:
        delta: Any = payload.get("delta")
        size = sum(text_bytes(delta.get(name)) for name in _TEXTS) if isinstance(delta, dict) else 0
        _count(frame, size)

    def _on_usage(self, reported: Any, frame: Frame) -> None:
        self._usage = merged_usage(self._usage, reported)
        frame.usage = parse_usage(self._usage)
        frame.service_tier = parse_service_tier(self._usage)


def _count(frame: Frame, size: int) -> None:
    """Counts `size` bytes of generated text into `frame`."""
    frame.text_bytes = size
    frame.deltas = 1 if size else 0
