"""An answer that an upstream has begun: its frames, as they arrive, to the end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from dataplane.call import Attempt
from dataplane.dialects.base import Frame, SseEvent, StreamParser
from dataplane.errors import UpstreamError
from dataplane.upstream.eventstream import EventStreamDecoder
from dataplane.upstream.sse import SseDecoder
from dataplane.upstream.transport import UpstreamResponse

_SSE: Final = "text/event-stream"
_AWS_EVENTS: Final = "application/vnd.amazon.eventstream"
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


def event_decoder(response: UpstreamResponse) -> EventDecoder | None:
    """What takes the body of `response` apart; None when it is no stream of events."""
    if response.content_type == _SSE:
        return SseDecoder()
    return EventStreamDecoder() if response.content_type == _AWS_EVENTS else None


class FrameStream:
    """Frames of one event stream; every wait ends at `deadline_s` on the monotonic clock, and within `idle_s`."""

    def __init__(
        self, response: UpstreamResponse, decoder: EventDecoder, parser: StreamParser, idle_s: float, deadline_s: float
    ) -> None:
        self._response = response
        self._decoder = decoder
        self._parser = parser
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

        if not self._is_over and self._error is None:
            await self._response.flow(take_chunk, self._idle_s, self._deadline_s)
        if is_wanted and self._error is not None:
            raise self._error
        return not is_wanted

    def take_arrived(self) -> list[Frame]:
        """Frames of what has arrived and nobody took, without waiting."""
        frames: list[Frame] = []
        if not self._is_over and self._error is None and (chunk := self._response.take_arrived()):
            self._parse(chunk, frames)
        return frames

    def _parse(self, chunk: bytes, frames: list[Frame]) -> None:
        """Adds to `frames` what `chunk` completes; b"" is the end of the body."""
        try:
            for event in self._decoder.feed(chunk) if chunk else self._decoder.finish():
                frames += self._parser.feed(event)
                if self._parser.is_over:
                    break
            if not chunk or self._parser.is_over:
                self._is_over = True
                frames += self._parser.finish()
        except UpstreamError as error:
            self._error = error


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
