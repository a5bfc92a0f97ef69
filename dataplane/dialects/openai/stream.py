"""A stream of chat or text completion chunks in OpenAI's format.

Each chunk passes as the bytes that came, but where it must be mended to be OpenAI's.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai.chunk_mending import ChunkMender, is_ordinary
from dataplane.dialects.openai.content import has_content, is_written, message_bytes, text_bytes
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.dialects.openai.mending import TEXT_COMPLETION, encode
from dataplane.dialects.openai.payload import parse_payload, payload_or_text
from dataplane.dialects.openai.usage import parse_service_tier, parse_usage, read_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import Usage

_DONE = b"[DONE]"


class OpenAIStreamParser:
    """`_begun` and `_finished` hold the indexes of choices that have begun, and that have a finish_reason.

    `_asked` is how many there are to be, and 1 once all have come. `_is_reported` says that usage was told, `_untold`
    is that which stood where clients do not look for it.
    """

    def __init__(self, call: Call | None = None) -> None:
        self._begun: list[int] = []
        self._mender = ChunkMender(call, self._begun)
        self._asked = _asked_choices(call)
        self._is_done = False
        self._is_reported = False
        self._finished: set[int] = set()
        self._untold: JsonObject | None = None

    @property
    def is_over(self) -> bool:
        return self._is_done

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        data = event.data
        if data.startswith(_DONE):
            return self._on_done()
        try:
            payload = parse_payload(data)
        except ValueError as error:
            return self._on_other(event, error)
        if event.event == "error":
            raise parse_error_object(payload)
        if not isinstance(payload, dict):
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent a chunk that is not a JSON object.")
        if payload.get("error"):
            return self._fail(payload, parse_error_object(payload["error"]))
        if not payload.get("choices"):
            if _is_flat_error(payload):
                return self._fail(payload, parse_error_object(payload))
            if self._mender.holds_back(payload):
                return ()
        try:
            return (self._on_chunk(data.replace(b"\n", b" ") if b"\n" in data else data, payload),)
        except UpstreamError as error:
            return self._fail(payload, error)

    def finish(self) -> Iterable[Frame]:
        if not self._begun:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's stream holds no answer.")
        if not self._is_done and not self._has_ended():
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.")
        return self._owed()

    def _on_other(self, event: SseEvent, error: ValueError) -> Iterable[Frame]:
        """What is no JSON: an end with space before it, nothing at all, or what a stream broke off in after its end.

        An event that is named an error is one in the words that it holds.
        """
        data = event.data.strip()
        if data.startswith(_DONE):
            return self._on_done()
        if event.event == "error":
            raise parse_error_object(payload_or_text(data)) from error
        if data and not self._has_ended():
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent a chunk that is not JSON.") from error
        return ()

    def _fail(self, payload: JsonObject, error: UpstreamError) -> Iterable[Frame]:
        """Raises `error`, after a frame with what `payload`, which tells it, says was used all the same.

        The frame is no content: an attempt that has come to nothing else can still be given up.
        """
        reported = _reported_usage(payload)
        usage, _ = read_usage(reported)
        if usage is None:
            raise error
        around = {name: value for name, value in payload.items() if name not in ("error", "choices", "x_groq")}
        told: JsonObject = around | {"choices": [], "usage": reported}
        self._mender.mend_envelope(told, [], b"")
        return _told_then_raised(Frame(encode(told), usage=usage, is_content=False, is_usage_only=True), error)

    def _on_done(self) -> Iterable[Frame]:
        """An end for what has none, where the provider says that all is well, and usage that is still untold."""
        self._is_done = True
        unfinished = self._unfinished()
        ended = [Frame(encode(self._mender.end(unfinished)))] if unfinished else []
        return [*ended, *self._owed()]

    def _owed(self) -> list[Frame]:
        """The usage that no chunk has told where clients look for it."""
        untold, self._untold = self._untold, None
        if untold is None:
            return []
        chunk = self._mender.chunk([]) | {"usage": untold}
        return [Frame(encode(chunk), usage=parse_usage(untold), is_usage_only=True)]

    def _unfinished(self) -> list[int]:
        return [index for index in self._begun if index not in self._finished]

    def _has_ended(self) -> bool:
        """Whether every choice has its finish_reason: what is still to come is no part of the answer."""
        asked = 1 if self._mender.is_last else self._asked
        return len(self._finished) >= asked and not self._unfinished()

    def _on_chunk(self, data: bytes, payload: JsonObject) -> Frame:
        """The frame of one chunk; a line break, which JSON has only between tokens, is no longer in `data`."""
        said, model = payload.get("choices"), payload.get("model")
        choices = said if isinstance(said, list) else []
        has_changed = choices is not said
        if has_changed:
            payload["choices"] = choices
        frame = Frame(data, model=model if isinstance(model, str) else "")
        has_changed |= self._mender.mend_envelope(payload, choices, data)
        if payload.get("usage") or "x_groq" in payload:
            has_changed |= self._on_usage(payload, frame)
        elif "service_tier" in payload:
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
        frame.is_content = finished or frame.deltas > 0 or (frame.is_usage_only and bool(self._begun))
        return frame

    def _on_usage(self, payload: JsonObject, frame: Frame) -> bool:
        """Reads the usage that a chunk tells into `frame`, and says whether it had to be mended."""
        frame.service_tier = parse_service_tier(payload)
        reported = _reported_usage(payload)
        if not reported:
            return False
        frame.usage, has_changed = read_usage(reported)
        frame.is_usage_only = not payload["choices"] and isinstance(reported, dict)
        if frame.is_usage_only and self._finished:
            self._asked = 1
        self._note(frame.usage, reported, is_told=reported is payload.get("usage"))
        return has_changed

    def _note(self, usage: Usage | None, reported: Any, *, is_told: bool) -> None:
        """Notes `usage`, which `reported` is; `is_told` says that it stands where clients look for it."""
        if usage is not None:
            self._is_reported = True
            self._untold = None if is_told else reported

    def _on_choice(self, choice: JsonObject, frame: Frame) -> bool:
        """Counts one choice into `frame`; True when it has come to its end."""
        is_content = False
        delta = choice.get("delta")
        if type(delta) is not dict:
            size = text_bytes(choice.get("text"))
        elif len(delta) == 1 and type(delta.get("content")) is str:
            size = text_bytes(delta["content"])
        elif self._is_reported and self._has_ended() and not is_written(delta):
            size = 0
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
            frame.usage, _ = read_usage(choice["usage"])
            self._note(frame.usage, choice["usage"], is_told=False)
        return True


def _asked_choices(call: Call | None) -> int:
    """How many choices answer `call`: `n` of them, and of text for each of its prompts."""
    if call is None:
        return 1
    n, prompts = call.body.get("n"), call.body.get("prompt")
    each = n if type(n) is int and n > 1 else 1
    if call.endpoint.operation != TEXT_COMPLETION or not isinstance(prompts, list) or not prompts:
        return each
    return each * len(prompts) if isinstance(prompts[0], str | list) else each


def _is_flat_error(payload: JsonObject) -> bool:
    """Whether `payload`, which has no choices, is itself an error object."""
    if payload.get("object") == "error":
        return True
    if payload.get("usage") or payload.get("id"):
        return False
    return bool(payload.get("detail") or (payload.get("message") and (payload.get("code") or payload.get("type"))))


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
