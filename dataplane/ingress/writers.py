"""Answers to clients: one JSON body, or server-sent events. The choice is the client's, whatever the upstream did."""

import asyncio
import math
import time
from typing import Protocol

import orjson
from aiohttp import web

from dataplane.call import Outcome
from dataplane.dialects.base import Frame
from dataplane.errors import ClientGone, GatewayError
from tollway.kernel.money import format_usd
from tollway.kernel.names import bare_id

_JSON = "application/json"
_DONE = b"data: [DONE]\n\n"
_KEEP_ALIVE = b": keep-alive\n\n"


class ResponseWriter(Protocol):
    """Takes the frames of one answer, then `finish` or `fail`; `response` is what the handler returns."""

    response: web.StreamResponse

    async def write(self, frames: list[Frame], outcome: Outcome) -> None:
        """Raises ClientGone when there is no one to write to."""
        ...

    async def finish(self, outcome: Outcome) -> None: ...

    async def fail(self, error: GatewayError, outcome: Outcome) -> None: ...


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
    if outcome.attempts:
        last = outcome.attempts[-1]
        headers["x-tollway-upstream"] = last.upstream.id
        headers["x-tollway-model"] = last.upstream_model
    return headers


def error_response(error: GatewayError, headers: dict[str, str]) -> web.Response:
    """The answer that tells `error` in OpenAI's shape."""
    if error.http_status in (429, 503):
        error.headers.setdefault("retry-after", "1")
        error.headers.setdefault("retry-after-ms", str(math.ceil(float(error.headers["retry-after"]) * 1000)))
    return web.Response(
        status=error.http_status, body=orjson.dumps(error.body()), content_type=_JSON, headers=headers | error.headers
    )


class JsonWriter:
    """One JSON body, sent whole when all of it is known; `response` is there after `finish` or `fail`."""

    response: web.StreamResponse

    def __init__(self) -> None:
        self._body = b""

    async def write(self, frames: list[Frame], outcome: Outcome) -> None:
        self._body = frames[-1].data

    async def finish(self, outcome: Outcome) -> None:
        headers = answer_headers(outcome)
        headers["x-tollway-cost-usd"] = format_usd(outcome.cost_nano_usd)
        self.response = web.Response(body=self._body, content_type=_JSON, headers=headers)

    async def fail(self, error: GatewayError, outcome: Outcome) -> None:
        self.response = error_response(error, answer_headers(outcome))


class SseWriter:
    """Server-sent events. Headers go out with the first frame, or with the first keep-alive.

    `response` is there after the first write, or after `fail`.
    `last_write_s` and `write_began_s` are readings of the monotonic clock; the latter is 0 while nothing is written.
    """

    response: web.StreamResponse

    def __init__(self, request: web.Request, wants_usage: bool) -> None:
        self._request = request
        self._wants_usage = wants_usage
        self._stream: web.StreamResponse | None = None
        self._turn = asyncio.Lock()
        self.last_write_s = time.monotonic()
        self.write_began_s = 0.0

    async def write(self, frames: list[Frame], outcome: Outcome) -> None:
        wanted = [frame.data for frame in frames if self._wants_usage or not frame.is_usage_only]
        if wanted:
            await self._send(b"data: " + b"\n\ndata: ".join(wanted) + b"\n\n", outcome)

    async def keep_alive(self, outcome: Outcome) -> None:
        """A comment that keeps intermediaries from giving up; the client leaving is for the next write to see."""
        try:
            await self._send(_KEEP_ALIVE, outcome)
        except ClientGone:
            return

    async def finish(self, outcome: Outcome) -> None:
        await self._end(_DONE, outcome)

    async def fail(self, error: GatewayError, outcome: Outcome) -> None:
        if self._stream is None:
            self.response = error_response(error, answer_headers(outcome))
        else:
            await self._end(b"data: " + orjson.dumps(error.body()) + b"\n\n", outcome)

    async def _end(self, last: bytes, outcome: Outcome) -> None:
        try:
            await self._send(last, outcome)
            await self.response.write_eof()
        except (ClientGone, ConnectionError):
            return

    async def _send(self, data: bytes, outcome: Outcome) -> None:
        async with self._turn:
            self.write_began_s = time.monotonic()
            try:
                stream = self._stream or await self._start(outcome)
                await stream.write(data)
            except ConnectionError as error:
                raise ClientGone("The client left.") from error
            finally:
                self.last_write_s = time.monotonic()
                self.write_began_s = 0.0

    async def _start(self, outcome: Outcome) -> web.StreamResponse:
        headers = answer_headers(outcome)
        headers["cache-control"] = "no-cache"
        headers["x-accel-buffering"] = "no"
        self.response = self._stream = web.StreamResponse(headers=headers)
        self._stream.content_type = "text/event-stream"
        self._stream.charset = "utf-8"
        await self._stream.prepare(self._request)
        return self._stream
