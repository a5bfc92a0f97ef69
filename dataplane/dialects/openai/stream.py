"""A stream of chat or text completion chunks in OpenAI's format: each chunk passes as the bytes that came."""

from collections.abc import Iterable
from typing import Any

import orjson

from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.dialects.openai.response import delta_bytes, text_size
from dataplane.dialects.openai.usage import parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind

_DONE = b"[DONE]"


class OpenAIStreamParser:
    """`_unfinished` holds the indexes of choices that have begun and have no finish_reason yet."""

    def __init__(self) -> None:
        self._is_done = False
        self._has_finished = False
        self._unfinished: set[int] = set()

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        if event.data == _DONE:
            self._is_done = True
            return ()
        payload = self._load(event)
        if payload.get("error"):
            raise parse_error_object(payload["error"])
        return (self._on_chunk(event.data, payload),)

    def finish(self) -> Iterable[Frame]:
        if not self._is_done and (self._unfinished or not self._has_finished):
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.")
        return ()

    def _load(self, event: SseEvent) -> dict[str, Any]:
        try:
            payload = orjson.loads(event.data)
        except orjson.JSONDecodeError as error:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent a chunk that is not JSON.") from error
        if event.event == "error":
            raise parse_error_object(payload)
        if not isinstance(payload, dict):
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent a chunk that is not a JSON object.")
        return payload

    def _on_chunk(self, data: bytes, payload: dict[str, Any]) -> Frame:
        choices = payload.get("choices") or []
        groq = payload.get("x_groq")
        usage = parse_usage(payload.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None))
        model = payload.get("model")
        frame = Frame(data, model=model if isinstance(model, str) else "", usage=usage)
        frame.is_usage_only = not choices and usage is not None
        finished = False
        for choice in choices:
            finished = self._on_choice(choice, frame) or finished
        frame.is_content = finished or frame.deltas > 0 or frame.is_usage_only
        return frame

    def _on_choice(self, choice: Any, frame: Frame) -> bool:
        """Counts one choice into `frame`; True when it has come to its end."""
        if not isinstance(choice, dict):
            return False
        delta = choice.get("delta")
        size = delta_bytes(delta) if isinstance(delta, dict) else text_size(choice.get("text"))
        frame.text_bytes += size
        frame.deltas += size > 0
        index = choice.get("index", 0)
        if choice.get("finish_reason") is None:
            self._unfinished.add(index)
            return False
        self._unfinished.discard(index)
        self._has_finished = True
        return True
