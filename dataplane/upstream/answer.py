"""An answer that an upstream has begun: its frames, as they arrive, to the end."""

import asyncio
import math
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, Protocol

from dataplane.call import Attempt
from dataplane.dialects.base import Frame, SseEvent, StreamParser
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.eventstream import EventStreamDecoder
from dataplane.upstream.sse import SseDecoder
from dataplane.upstream.transport import MAX_RESULT_BYTES, UpstreamResponse

_MAX_OPENING_BYTES: Final = 4096
_MAX_PRELUDE_FRAMES = 64
_TERMINATOR_WAIT_S = 0.2


class EventDecoder(Protocol):
    """Takes the bytes of a body apart into events, however they are split."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events that `data` completes. Raises UpstreamError for what is none."""
        ...

    def finish(self) -> list[SseEvent]:
        """The event that the end of the body completes. Raises UpstreamError when it breaks off."""
        ...


class _WholeAnswer:
    """Decodes a body that is no stream of events: all of it is the one event that its end completes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        self._size += len(data)
        if self._size > MAX_RESULT_BYTES:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is too large.")
        self._pieces.append(data)
        return []

    def finish(self) -> list[SseEvent]:
        return [SseEvent("", b"".join(self._pieces))]


class _WholeParser:
    """Parses the one event of a _WholeAnswer."""

    def __init__(self, parse: Callable[[bytes], list[Frame]]) -> None:
        self._parse = parse

    @property
    def is_over(self) -> bool:
        return False

    def feed(self, event: SseEvent) -> Iterable[Frame]:
        return self._parse(event.data)

    def finish(self) -> Iterable[Frame]:
        return ()


_EVENTS: Final[Mapping[str, Callable[[], EventDecoder]]] = MappingProxyType(
    {"text/event-stream": SseDecoder, "application/vnd.amazon.eventstream": EventStreamDecoder}
)
"""What takes streams of events apart, by their content type."""
_OPENINGS: Final[tuple[tuple[tuple[bytes, ...], Callable[[], EventDecoder]], ...]] = (
    ((b"data:", b"event:", b"id:", b"retry:", b":"), SseDecoder),
    ((b"{", b"["), _WholeAnswer),
    ((b"\0",), EventStreamDecoder),
)
"""How bodies begin, after a byte order mark and white space: an AWS event with a length that is below 16 MiB."""


def _begun(opening: bytes) -> bytes:
    return opening.removeprefix(BOM_UTF8).lstrip()


def _decoder_told_by(opening: bytes) -> Callable[[], EventDecoder] | None:
    """What makes the decoder of a body that begins with `opening`; None where that tells nothing."""
    begun = _begun(opening)
    return next((decoder for beginnings, decoder in _OPENINGS if begun.startswith(beginnings)), None)


def _may_yet_tell(opening: bytes) -> bool:
    """Whether `opening`, which tells nothing, may still do so with what comes after it."""
    if len(opening) > _MAX_OPENING_BYTES:
        return False
    begun = _begun(opening)
    known = (beginning for beginnings, _ in _OPENINGS for beginning in beginnings)
    return BOM_UTF8.startswith(opening) or any(beginning.startswith(begun) for beginning in known)


class FrameStream:
    """Frames of what answers a call for a stream: of events, or of a whole answer, which `parse_whole` tells as one.

    Which it is, its first bytes say, else its content type. Every wait ends at `deadline_s` on the monotonic clock, and
    within `idle_s`, unless no events are to be expected yet: a whole answer may take its time.
    """

    def __init__(
        self,
        response: UpstreamResponse,
        parser: StreamParser,
        parse_whole: Callable[[bytes], list[Frame]],
        idle_s: float,
        deadline_s: float,
    ) -> None:
        self._response = response
        self._decoder: EventDecoder | None = None
        self._opening = b""
        self._parser = parser
        self._parse_whole = parse_whole
        self._idle_s = idle_s
        self._deadline_s = deadline_s
        self._is_over = False
        self._error: UpstreamError | None = None

    @property
    def is_over(self) -> bool:
        """Whether the stream has come to an end: the body's, or one that an event told."""
        return self._is_over

    @property
    def is_good(self) -> bool:
        """Whether that was a good end."""
        return self._is_over and self._error is None

    async def read_to_content(self, frames: list[Frame]) -> None:
        """Adds everything up to and with the first content to `frames`: until then the attempt can still be given up.

        Raises UpstreamError when it comes to none.
        """

        def take(arrived: list[Frame]) -> bool:
            frames.extend(arrived)
            return len(frames) <= _MAX_PRELUDE_FRAMES and not any(frame.is_content for frame in arrived)

        await self.flow(take)

    async def flow(self, take: Callable[[list[Frame]], bool]) -> bool:
        """Hands frames to `take` as they arrive, with no task in between, until it returns False: there may be more.

        Returns False at the good end. Raises UpstreamError for what went wrong, after the frames that came before it.
        """
        is_wanted = True

        def take_chunk(chunk: bytes) -> bool:
            nonlocal is_wanted
            frames: list[Frame] = []
            self._parse(chunk, frames)
            is_wanted = not frames or take(frames)
            return is_wanted and not self._is_over and self._error is None

        def take_opening(chunk: bytes) -> bool:
            return take_chunk(chunk) and self._decoder is None

        try:
            if self._decoder is None:
                await self._response.flow(take_opening, self._longest_silence_s, self._deadline_s)
            if is_wanted and self._is_going_on:
                await self._response.flow(take_chunk, self._longest_silence_s, self._deadline_s)
        except UpstreamError as error:
            is_wanted = self._end_early(error, take)
        if is_wanted and self._error is not None:
            raise self._error
        return not is_wanted

    def _end_early(self, error: UpstreamError, take: Callable[[list[Frame]], bool]) -> bool:
        """Ends a stream whose body breaks off with `error`: well where everything but its end had been told.

        Returns what `take` says of the frames of that end.
        """
        frames: list[Frame] = []
        self._parse(b"", frames)
        if self._error is not None:
            self._error = error
        return not frames or take(frames)

    def take_arrived(self) -> list[Frame]:
        """Frames of what has arrived and nobody took, without waiting."""
        frames: list[Frame] = []
        if self._is_going_on and (chunk := self._response.take_arrived()):
            self._parse(chunk, frames)
        return frames

    @property
    def _is_going_on(self) -> bool:
        return not self._is_over and self._error is None

    @property
    def _longest_silence_s(self) -> float:
        if self._decoder is None:
            return self._idle_s if self._response.content_type in _EVENTS else math.inf
        return math.inf if isinstance(self._decoder, _WholeAnswer) else self._idle_s

    def _parse(self, chunk: bytes, frames: list[Frame]) -> None:
        """Adds to `frames` what `chunk` completes; b"" is the end of the body."""
        decoder = self._decoder
        if decoder is None:
            self._open(chunk, frames)
            return
        try:
            for event in decoder.feed(chunk) if chunk else decoder.finish():
                frames += self._parser.feed(event)
                if self._parser.is_over:
                    break
            if not chunk or self._parser.is_over:
                self._is_over = True
                frames += self._parser.finish()
        except UpstreamError as error:
            self._error = error

    def _open(self, chunk: bytes, frames: list[Frame]) -> None:
        """Parses what has come once it tells what it is, or cannot tell it any more."""
        self._opening += chunk
        told = _decoder_told_by(self._opening)
        if told is None and chunk and _may_yet_tell(self._opening):
            return
        self._decoder = (told or _EVENTS.get(self._response.content_type, _WholeAnswer))()
        if isinstance(self._decoder, _WholeAnswer):
            self._parser = _WholeParser(self._parse_whole)
        opening, self._opening = self._opening, b""
        if opening:
            self._parse(opening, frames)
        if not chunk and self._is_going_on:
            self._parse(b"", frames)


class UpstreamAnswer:
    """The answer of one attempt that has got to its content.

    `first` are the frames that have come already, `stream` gives the others; a complete answer has none.
    """

    __slots__ = ("_first", "_lingering", "_on_close", "_redact", "_response", "_stream", "attempt")

    def __init__(
        self,
        attempt: Attempt,
        response: UpstreamResponse,
        first: list[Frame],
        stream: FrameStream | None,
    ) -> None:
        self.attempt = attempt
        self._response = response
        self._first = first
        self._stream = stream
        self._on_close: Callable[[], None] | None = None
        self._redact: Callable[[UpstreamError], None] | None = None
        self._lingering: asyncio.Task[None] | None = None

    def on_close(self, told: Callable[[], None]) -> None:
        """Has `told` called when the answer is closed."""
        self._on_close = told

    def redact_by(self, redact: Callable[[UpstreamError], None]) -> None:
        """Has `redact` take out of errors what was sent and must not come back."""
        self._redact = redact

    async def flow(self, take: Callable[[list[Frame]], bool]) -> bool:
        """Hands frames to `take` as they arrive, until it returns False: there may be more, when that has been seen to.

        Returns False at the good end. Raises UpstreamError when the answer breaks off.
        """
        if self._first:
            frames, self._first = self._first, []
            if not take(frames):
                return True
        if self._stream is None:
            return False
        try:
            return await self._stream.flow(take)
        except UpstreamError as error:
            if self._redact is not None:
                self._redact(error)
            raise

    def take_arrived(self, observe: Callable[[list[Frame]], None]) -> bool:
        """Hands what has arrived and was not taken to `observe`, without waiting: nobody reads the answer any more.

        Returns whether that is all of an answer that came to its good end.
        """
        observe(self._first)
        if self._stream is None:
            return True
        observe(self._stream.take_arrived())
        return self._stream.is_good

    def close(self) -> None:
        """Gives the connection back, or cuts the upstream off when the answer has not come to its end."""
        if self._stream is not None and self._stream.is_over and not self._response.is_reusable:
            self._lingering = asyncio.get_running_loop().create_task(self._linger(), name="end of an answer")
        else:
            self._response.release()
        if self._on_close is not None:
            self._on_close()

    async def _linger(self) -> None:
        """Gives a body whose stream is over a moment to end too, so that its connection can serve again."""
        try:
            with suppress(UpstreamError):
                await self._response.next_chunk(_TERMINATOR_WAIT_S)
        finally:
            self._response.release()
