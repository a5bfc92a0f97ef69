"""A stream of chat or text completion chunks in OpenAI's format: each chunk passes as the bytes that came."""

from collections.abc import Iterable
from typing import Any

from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai.content import has_content, message_bytes, text_bytes
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.dialects.openai.payload import parse_payload
from dataplane.dialects.openai.usage import parse_service_tier, parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind

_DONE = b"[DONE]"


class OpenAIStreamParser:
    """`_unfinished` holds the indexes of choices that have begun and have no finish_reason yet."""

    def __init__(self) -> None:
        self._has_begun = False
        self._is_done = False
        self._has_finished = False
        self._unfinished: set[int] = set()

    @property
    def is_over(self) -> bool:
        return self._is_done

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        data = event.data
        if data.startswith(_DONE):
            self._is_done = True
            return ()
        payload = self._load(event)
        if payload is None:
            return ()
        if payload.get("error"):
            raise parse_error_object(payload["error"])
        self._has_begun = True
        return (self._on_chunk(data.replace(b"\n", b" ") if b"\n" in data else data, payload),)

    def finish(self) -> Iterable[Frame]:
        if not self._has_begun:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's stream holds no answer.")
        if not self._is_done and (self._unfinished or not self._has_finished):
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.")
        return ()

    def _load(self, event: SseEvent) -> dict[str, Any] | None:
        """The object of `event`; None for a blank one, which only keeps the connection alive."""
        try:
            payload = parse_payload(event.data)
        except ValueError as error:
            if not event.data.strip():
                return None
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent a chunk that is not JSON.") from error
        if event.event == "error":
            raise parse_error_object(payload)
        if not isinstance(payload, dict):
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent a chunk that is not a JSON object.")
        return payload

    def _on_chunk(self, data: bytes, payload: dict[str, Any]) -> Frame:
        """The frame of one chunk; a line break, which JSON has only between tokens, is no longer in `data`."""
        choices = payload.get("choices")
        if not isinstance(choices, list):
            choices = []
        model = payload.get("model")
        frame = Frame(data, model=model if isinstance(model, str) else "")
        if "service_tier" in payload:
            frame.service_tier = parse_service_tier(payload)
        reported = payload.get("usage") or ("x_groq" in payload and _groq_usage(payload))
        if reported:
            frame.usage = parse_usage(reported)
            frame.is_usage_only = not choices and isinstance(reported, dict)
        finished = False
        for choice in choices:
            if isinstance(choice, dict) and self._on_choice(choice, frame):
                finished = True
        frame.is_content = finished or frame.deltas > 0 or frame.is_usage_only
        return frame

    def _on_choice(self, choice: dict[str, Any], frame: Frame) -> bool:
        """Counts one choice into `frame`; True when it has come to its end."""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            size = message_bytes(delta)
            is_content = size > 0 or has_content(delta)
        else:
            size = text_bytes(choice.get("text"))
            is_content = size > 0
        if is_content:
            frame.deltas += 1
            frame.text_bytes += size
        index = choice.get("index")
        if not isinstance(index, int):
            index = 0
        if not choice.get("finish_reason"):
            self._unfinished.add(index)
            return False
        self._unfinished.discard(index)
        self._has_finished = True
        return True


def _groq_usage(payload: dict[str, Any]) -> Any:
    groq = payload.get("x_groq")
    return groq.get("usage") if isinstance(groq, dict) else None
