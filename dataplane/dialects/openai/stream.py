"""A stream of chat or text completion chunks in OpenAI's format.

Each chunk passes as the bytes that came, but where it must be mended to be OpenAI's.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai.chunk_mending import ChunkMender, is_ordinary
from dataplane.dialects.openai.content import has_content, message_bytes, text_bytes
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.dialects.openai.mending import encode
from dataplane.dialects.openai.payload import parse_payload
from dataplane.dialects.openai.usage import mend_usage, parse_service_tier, parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind

_DONE = b"[DONE]"


class OpenAIStreamParser:
    """`_begun` and `_finished` hold the indexes of choices that have begun, and that have a finish_reason."""

    def __init__(self, call: Call | None = None) -> None:
        self._begun: list[int] = []
        self._mender = ChunkMender(call, self._begun)
        self._has_begun = False
        self._is_done = False
        self._finished: set[int] = set()

    @property
    def is_over(self) -> bool:
        return self._is_done

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        data = event.data
        if data.startswith(_DONE):
            self._is_done = True
            return self._on_done()
        payload = self._load(event)
        if payload is None:
            return ()
        if payload.get("error"):
            return self._fail(payload, parse_error_object(payload["error"]))
        if not payload.get("choices") and self._mender.holds_back(payload):
            return ()
        self._has_begun = True
        try:
            return (self._on_chunk(data.replace(b"\n", b" ") if b"\n" in data else data, payload),)
        except UpstreamError as error:
            return self._fail(payload, error)

    def finish(self) -> Iterable[Frame]:
        if not self._has_begun:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's stream holds no answer.")
        if not self._is_done and (self._unfinished() or not self._finished):
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

    def _fail(self, payload: JsonObject, error: UpstreamError) -> Iterable[Frame]:
        """Raises `error`, after a frame with what `payload`, which tells it, says was used all the same.

        The frame is no content: an attempt that has come to nothing else can still be given up.
        """
        reported = _reported_usage(payload)
        usage = parse_usage(reported)
        if usage is None:
            raise error
        mend_usage(reported)
        around = {name: value for name, value in payload.items() if name not in ("error", "choices", "x_groq")}
        told: JsonObject = around | {"choices": [], "usage": reported}
        self._mender.mend_envelope(told, [])
        return _told_then_raised(Frame(encode(told), usage=usage, is_content=False, is_usage_only=True), error)

    def _on_done(self) -> Iterable[Frame]:
        """An end for what has none, where the provider says that all is well."""
        unfinished = self._unfinished()
        return (Frame(encode(self._mender.end(unfinished))),) if unfinished else ()

    def _unfinished(self) -> list[int]:
        return [index for index in self._begun if index not in self._finished]

    def _on_chunk(self, data: bytes, payload: dict[str, Any]) -> Frame:
        """The frame of one chunk; a line break, which JSON has only between tokens, is no longer in `data`."""
        choices = payload.get("choices")
        if not isinstance(choices, list):
            choices = []
        model = payload.get("model")
        frame = Frame(data, model=model if isinstance(model, str) else "")
        has_changed = self._mender.mend_envelope(payload, choices)
        reported = payload.get("usage") or ("x_groq" in payload and _reported_usage(payload))
        if reported:
            frame.usage = parse_usage(reported)
            frame.is_usage_only = not choices and isinstance(reported, dict)
            has_changed = mend_usage(reported) or has_changed
        if reported or "service_tier" in payload:
            frame.service_tier = parse_service_tier(payload)
        finished = False
        for choice in choices:
            if type(choice) is not dict:
                continue
            if not (choice.get("index") in self._begun and is_ordinary(choice)):
                has_changed |= self._mender.mend_choice(choice)
            finished |= self._on_choice(choice, frame)
        if has_changed:
            frame.data = encode(payload)
        frame.is_content = finished or frame.deltas > 0 or frame.is_usage_only
        return frame

    def _on_choice(self, choice: dict[str, Any], frame: Frame) -> bool:
        """Counts one choice into `frame`; True when it has come to its end."""
        is_content = False
        delta = choice.get("delta")
        if type(delta) is not dict:
            size = text_bytes(choice.get("text"))
        elif len(delta) == 1 and type(delta.get("content")) is str:
            size = text_bytes(delta["content"])
        else:
            size = message_bytes(delta)
            is_content = has_content(delta)
        if size or is_content:
            frame.deltas += 1
            frame.text_bytes += size
        if not choice.get("finish_reason"):
            return False
        self._finished.add(choice["index"])
        if frame.usage is None and "usage" in choice:
            frame.usage = parse_usage(choice["usage"])
        return True


def _reported_usage(payload: JsonObject) -> Any:
    """The usage that a chunk tells, Groq's in a place of its own; nothing true where there is none."""
    reported = payload.get("usage")
    if reported or "x_groq" not in payload:
        return reported
    groq = payload["x_groq"]
    return groq.get("usage") if isinstance(groq, dict) else None


def _told_then_raised(frame: Frame, error: UpstreamError) -> Iterator[Frame]:
    yield frame
    raise error
