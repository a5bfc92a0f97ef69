"""One HTTP/1.1 connection to an upstream: a request out, a bounded head and a paced body in (RFC 9112).

Parsed by httptools (llhttp) straight from the event loop's transport, with no task and no queue per call.
"""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import httptools

from dataplane.errors import UpstreamError, UpstreamErrorKind

MAX_HEAD_BYTES = 64 * 1024
HIGH_WATER_BYTES = 256 * 1024
_FIRST_FINAL_STATUS = 200
_BODILESS_STATUS = frozenset((204, 304))


class Http1Connection(asyncio.Protocol):
    """Serves one exchange at a time: `exchange`, then `next_chunk` or `flow` to the end, then it `is_reusable` or not.

    The wait under way ends at `_deadline_s`; the one timer of the connection, due at `_timer_s`, looks whether that has
    come, and is set anew only then: a timer for each wait would cost as much as the rest of it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._take_error: BaseException | None = None
        self._idle_s = 0.0
        self._end_s = 0.0
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._is_paused = False
        self._is_complete = False
        self._head_bytes = 0
        self._begin()

    @property
    def is_reusable(self) -> bool:
        """Whether another exchange may follow: the request was sent and the answer taken, both to their end."""
        if self._transport is None or not self._is_complete or not self._is_keep_alive or self._has_extra:
            return False
        return not self._body and not self._is_paused and self._transport.get_write_buffer_size() == 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def has_answered(self) -> bool:
        """Whether any byte of the answer has come."""
        return self._has_answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._is_complete:
            if self.status and self._ends_with_connection and exc is None:
                self._is_complete = True
            else:
                self._fail("The upstream broke off its answer.", type(exc).__name__ if exc else "connection closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self._is_complete:
            self._has_extra = True
            self.abort()
            return
        self._has_answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("The upstream's answer is not HTTP.", type(error).__name__)
            self.abort()
        if not self.status and len(data) + self._head_bytes > MAX_HEAD_BYTES:
            self._fail("The upstream's answer has too large a head.", "head too large")
            self.abort()
        self._head_bytes += len(data)
        if self._take is None or not self._body or self._hand_on(self._take):
            self._wake()

    async def exchange(self, request: bytes, deadline_s: float) -> None:
        """Sends `request` and waits for the head of its answer: `status` and `headers`. Raises UpstreamError.

        `deadline_s` is on the monotonic clock, as are all deadlines here.
        """
        self._begin()
        if self._transport is None:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.", detail="closed")
        self._transport.write(request)
        while not self._is_head_complete:
            self._check()
            await self._wait(deadline_s)

    async def next_chunk(self, deadline_s: float) -> bytes:
        """What has arrived of the body, at least a byte; b"" at its end. Raises UpstreamError."""
        while not self._body:
            if self._is_complete:
                return b""
            self._check()
            await self._wait(deadline_s)
        return self._taken()

    async def flow(self, take: Callable[[bytes], bool], idle_s: float, deadline_s: float) -> None:
        """Hands each piece of the body to `take` as it arrives, with no task in between, and b"" at its end.

        Returns as soon as `take` returns False, or at the end. Raises UpstreamError, of kind TIMEOUT when nothing has
        come for `idle_s` or at `deadline_s`, and what `take` raises.
        """
        if time.monotonic() >= deadline_s:
            raise _timeout()
        self._idle_s, self._end_s = idle_s, deadline_s
        is_wanted = not self._body or take(self._taken())
        while is_wanted and not self._is_complete:
            self._check()
            self._take = take
            try:
                await self._wait(min(deadline_s, time.monotonic() + idle_s))
            finally:
                is_wanted, self._take = self._take is not None, None
            if self._take_error is not None:
                raise self._take_error
        if is_wanted:
            take(b"")

    def take_arrived(self) -> bytes:
        """What has arrived of the body and was not taken, without waiting; b"" where that is nothing."""
        return self._taken() if self._body else b""

    def abort(self) -> None:
        """Cuts the connection, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._has_extra = self._is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_extra or self._is_head_complete:
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._has_extra:
            return
        if status < _FIRST_FINAL_STATUS:
            self.headers.clear()
            return
        self.status = status
        self._is_head_complete = True
        self._is_keep_alive = self._parser.should_keep_alive()
        has_length = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "")
        self._ends_with_connection = not has_length and status not in _BODILESS_STATUS

    def on_body(self, body: bytes) -> None:
        if self._has_extra:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > HIGH_WATER_BYTES and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status:
            self._is_complete = True

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._error: UpstreamError | None = None
        self._take_error = None
        self._has_answered = False
        self._is_head_complete = False
        self._is_complete = False
        self._is_keep_alive = False
        self._ends_with_connection = False
        self._has_extra = False

    def _taken(self) -> bytes:
        """The body that has come so far, which is then no longer here."""
        chunk = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._body_bytes = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return chunk

    def _hand_on(self, take: Callable[[bytes], bool]) -> bool:
        """Gives `take` what has come; True when the task that waits is to see to the rest."""
        try:
            is_wanted = take(self._taken())
        except BaseException as error:  # noqa: BLE001
            # It belongs to the task that waits, not to the event loop that called.
            is_wanted, self._take_error = False, error
        if not is_wanted:
            self._take = None
        self._deadline_s = min(self._end_s, time.monotonic() + self._idle_s)
        return self._take is None or self._is_complete or self._error is not None

    def _check(self) -> None:
        """Raises UpstreamError when there is nothing more to come, and not for the answer's end."""
        if self._error is not None:
            raise self._error

    async def _wait(self, deadline_s: float) -> None:
        """Until something has happened, or `deadline_s` has come, which is an error of kind TIMEOUT."""
        self._waiter = self._loop.create_future()
        self._deadline_s = deadline_s
        if self._timer is None or self._timer_s > deadline_s:
            self._set_timer(deadline_s)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_timer(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, due_s - time.monotonic()), self._on_timer)
        self._timer_s = due_s

    def _on_timer(self) -> None:
        """Ends the wait under way, if it is time; a wait that has not come to its end has the timer set again."""
        self._timer = None
        if self._waiter is None:
            return
        if time.monotonic() < self._deadline_s:
            self._set_timer(self._deadline_s)
            return
        self._error = _timeout()
        self._wake()

    def _fail(self, message: str, detail: str) -> None:
        if self._error is None:
            self._error = UpstreamError(UpstreamErrorKind.PROTOCOL, message, detail=detail)


def _timeout() -> UpstreamError:
    return UpstreamError(UpstreamErrorKind.TIMEOUT, "The upstream did not answer in time.")
