"""Answers to clients: one JSON body, or server-sent events. The choice is the client's, whatever the upstream did.

Clients that speak another format than the hub's are answered through its ClientFormat; None stands for the hub's.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol
from urllib.parse import quote

import orjson
from aiohttp import HttpVersion11, web

from dataplane.call import Call, Outcome
from dataplane.dialects.base import ClientFormat, Frame, StreamRenderer
from dataplane.errors import ClientGone, GatewayError
from tollway.kernel.money import format_usd
from tollway.kernel.names import bare_id

_JSON = "application/json"
_DONE = b"data: [DONE]\n\n"
_KEEP_ALIVE = b": keep-alive\n\n"
_HIGH_WATER_BYTES = 64 * 1024


HeadCompletion = Callable[[web.StreamResponse], None]
"""Adds to an answer's head, just before it goes out, what all answers have."""


class ResponseWriter(Protocol):
    """Takes the frames of one answer, then `finish` or `fail`; `response` is then what was sent, if anything was.

    `write` never waits; where it returns False, `catch_up` is to be awaited before more is written.

    `last_write_s` and `write_began_s` are readings of the monotonic clock; the latter is 0 while nothing is written.
    `is_waiting` says that the client waits for a stream to go on, and should be kept company.
    """

    response: web.StreamResponse | None
    last_write_s: float
    write_began_s: float

    @property
    def is_waiting(self) -> bool: ...

    def write(self, frames: list[Frame], call: Call) -> bool:
        """Sends `frames` or keeps them; False when the client has to be waited for."""
        ...

    async def catch_up(self, outcome: Outcome) -> None:
        """Sends what was kept, and waits until the client has taken nearly all. Raises ClientGone."""
        ...

    async def keep_alive(self, outcome: Outcome) -> None:
        """Tells a waiting client that the answer is still to come."""
        ...

    async def finish(self, outcome: Outcome) -> None:
        """Sends what is left, to the last byte. Raises ClientGone."""
        ...

    async def fail(self, error: GatewayError, outcome: Outcome) -> None:
        """Sends `error` in place of an answer, or at the end of one that has begun. Raises ClientGone."""
        ...


def answer_headers(outcome: Outcome) -> dict[str, str]:
    """The headers that say what became of a call, as far as it has got."""
    call = outcome.call
    elapsed_s = time.monotonic() - call.start_s - call.body_wait_s - outcome.upstream_wait_s
    headers = {
        "x-request-id": call.request_id,
        "x-tollway-attempts": str(len(outcome.attempts)),
        "x-tollway-overhead-ms": f"{max(0.0, elapsed_s) * 1000:.3f}",
    }
    if outcome.route:
        headers["x-tollway-route"] = bare_id(outcome.route)
    if outcome.limits is not None:
        headers |= outcome.limits.headers()
    if outcome.attempts:
        last = outcome.attempts[-1]
        headers["x-tollway-upstream"] = last.upstream.id
        model = last.upstream_model
        headers["x-tollway-model"] = model if model.isascii() else quote(model, safe="/")
    return headers


def error_response(error: GatewayError, headers: dict[str, str], spoken: ClientFormat | None) -> web.Response:
    """The answer that tells `error` in the client's shape."""
    if error.http_status in (429, 503):
        error.headers.setdefault("retry-after", "1")
        error.headers.setdefault("retry-after-ms", str(math.ceil(float(error.headers["retry-after"]) * 1000)))
    body = error.body() if spoken is None else spoken.render_error(error)
    return web.Response(
        status=error.http_status, body=orjson.dumps(body), content_type=_JSON, headers=headers | error.headers
    )


class JsonWriter:
    """One JSON body, sent whole when all of it is known."""

    is_waiting = False

    def __init__(self, request: web.BaseRequest, complete: HeadCompletion, spoken: ClientFormat | None) -> None:
        self.response: web.StreamResponse | None = None
        self._request = request
        self._complete = complete
        self._spoken = spoken
        self._body = b""
        self.last_write_s = time.monotonic()
        self.write_began_s = 0.0

    def write(self, frames: list[Frame], call: Call) -> bool:
        frame = frames[-1]
        self._body = frame.data if self._spoken is None else self._spoken.render_result(call, frame)
        return True

    async def catch_up(self, outcome: Outcome) -> None:
        return

    async def keep_alive(self, outcome: Outcome) -> None:
        return

    async def finish(self, outcome: Outcome) -> None:
        headers = answer_headers(outcome)
        if outcome.is_priced:
            headers["x-tollway-cost-usd"] = format_usd(outcome.cost_nano_usd)
        await self._send(web.Response(body=self._body, content_type=_JSON, headers=headers))

    async def fail(self, error: GatewayError, outcome: Outcome) -> None:
        await self._send(error_response(error, answer_headers(outcome), self._spoken))

    async def _send(self, response: web.Response) -> None:
        self.response = response
        self.write_began_s = time.monotonic()
        try:
            self._complete(response)
            await _send_whole(self._request, response)
        finally:
            self.write_began_s = 0.0


class _HubRenderer:
    """OpenAI's server-sent events: chunks as they are, of which the usage is only for those who asked."""

    __slots__ = ("_wants_usage",)

    def __init__(self, call: Call) -> None:
        self._wants_usage = call.wants_usage

    def feed(self, frame: Frame) -> bytes:
        is_told = frame.data and (self._wants_usage or not frame.is_usage_only)
        return b"data: %b\n\n" % frame.data if is_told else b""

    def finish(self) -> bytes:
        return _DONE

    def fail(self, error: GatewayError) -> bytes:
        return b"data: %b\n\n" % orjson.dumps(error.body())


class SseWriter:
    """Server-sent events. Headers go out with the first frames, or with the first keep-alive.

    Once they are out, events go straight to the transport, as chunks of the transfer coding (RFC 9112, 7.1) where the
    client knows it: what waits in the transport's buffer is then the one thing to be looked at. `_held` is what comes
    before that.
    """

    def __init__(
        self, request: web.BaseRequest, complete: HeadCompletion, call: Call, spoken: ClientFormat | None
    ) -> None:
        self.response: web.StreamResponse | None = None
        self._request = request
        self._complete = complete
        self._spoken = spoken
        self._renderer: StreamRenderer = _HubRenderer(call) if spoken is None else spoken.stream_renderer(call)
        self._stream: web.StreamResponse | None = None
        self._is_chunked = False
        self._held = b""
        self._turn = asyncio.Lock()
        self._is_over = False
        self.last_write_s = time.monotonic()
        self.write_began_s = 0.0

    @property
    def is_waiting(self) -> bool:
        return not self._is_over

    def write(self, frames: list[Frame], call: Call) -> bool:
        feed = self._renderer.feed
        return self._put(feed(frames[0]) if len(frames) == 1 else b"".join([feed(frame) for frame in frames]))

    async def catch_up(self, outcome: Outcome) -> None:
        with self._waiting():
            await self._begin(outcome)
            await self._drain()

    async def keep_alive(self, outcome: Outcome) -> None:
        """A comment; a client that has left is for the next sweep to see."""
        with suppress(ConnectionError):
            await self._begin(outcome, is_comment=True)
            if not self._is_over:
                self._put(_KEEP_ALIVE)

    async def finish(self, outcome: Outcome) -> None:
        self._is_over = True
        self._put(self._renderer.finish())
        await self._end(outcome)

    async def fail(self, error: GatewayError, outcome: Outcome) -> None:
        self._is_over = True
        async with self._turn:
            has_begun = self._stream is not None
            if not has_begun:
                response = self.response = error_response(error, answer_headers(outcome), self._spoken)
                self._complete(response)
                await _send_whole(self._request, response)
        if has_begun:
            self._put(self._renderer.fail(error.in_stream()))
            await self._end(outcome)

    def _put(self, data: bytes) -> bool:
        """Sends `data`, or keeps it while that cannot be; False when the client is behind, or to be begun with."""
        if not data:
            return True
        transport = self._request.transport
        if self._stream is None or transport is None or transport.is_closing():
            self._held += data
            return False
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        self.last_write_s = time.monotonic()
        return transport.get_write_buffer_size() <= _HIGH_WATER_BYTES

    async def _begin(self, outcome: Outcome, *, is_comment: bool = False) -> None:
        """Sends the head, unless that was done, and what was held. Raises ConnectionError."""
        async with self._turn:
            if self._stream is None and not (is_comment and self._is_over):
                await self._start(outcome)
        held, self._held = self._held, b""
        self._put(held)

    async def _drain(self) -> None:
        """Until the client has taken nearly all that was sent. Raises ConnectionError."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if transport.get_write_buffer_size() > _HIGH_WATER_BYTES:
            # A cancelled wait would leave aiohttp's own future cancelled, for all who wait after it.
            await asyncio.shield(self._request.writer.drain())

    async def _end(self, outcome: Outcome) -> None:
        """The last byte of a stream whose last event was written. Raises ClientGone."""
        with self._waiting():
            await self._begin(outcome)
            if self._stream is not None:
                await self._stream.write_eof()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Around what waits for the client, so that it is seen how long. Raises ClientGone for a ConnectionError."""
        self.write_began_s = time.monotonic()
        try:
            yield
        except ConnectionError as error:
            raise ClientGone("The client left.") from error
        finally:
            self.last_write_s = time.monotonic()
            self.write_began_s = 0.0

    async def _start(self, outcome: Outcome) -> None:
        headers = answer_headers(outcome)
        headers["cache-control"] = "no-cache"
        headers["x-accel-buffering"] = "no"
        self.response = stream = web.StreamResponse(headers=headers)
        stream.content_type = "text/event-stream"
        stream.charset = "utf-8"
        self._complete(stream)
        if self._request.version < HttpVersion11:
            # Nothing but the end of the connection ends a body without length or transfer coding.
            stream.force_close()
        await stream.prepare(self._request)
        self._request.writer.send_headers()
        self._is_chunked = "transfer-encoding" in stream.headers
        self._stream = stream


async def _send_whole(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Sends a complete answer to its last byte. Raises ClientGone."""
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError as error:
        raise ClientGone("The client left.") from error
