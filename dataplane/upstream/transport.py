"""The data plane's only way out: POST to an upstream, over pooled connections, with every wait bounded.

Redirects are never followed, proxies from the environment are not used, and there are no cookies.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from dataplane.call import UpstreamRequest
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.http1 import Http1Connection
from dataplane.upstream.pool import ConnectionPool, Origin

MAX_RESULT_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024
STALE_S = 1.0
_REMEMBERED_URLS = 1024
_HTTPS_PORT, _HTTP_PORT = 443, 80


class Transport:
    """Sends requests; it must be made inside the running loop."""

    def __init__(self, pool: ConnectionPool | None = None) -> None:
        self._pool = pool or ConnectionPool()
        self._places: dict[str, tuple[Origin, str]] = {}

    async def send(self, request: UpstreamRequest, deadline_s: float) -> "UpstreamResponse":
        """The answer's head, by `deadline_s` on the monotonic clock. Raises UpstreamError.

        `request.is_sent` is set once the upstream may have received it.
        """
        origin, line = self._place(request.url)
        message = _message(line, request)
        connection = self._pool.take_idle(origin)
        if connection is not None:
            request.is_sent, sent_s = True, time.monotonic()
            try:
                return await self._exchange(origin, connection, message, deadline_s)
            except UpstreamError as error:
                # A server may close a kept connection just as it is used: without a byte of answer, that is no answer.
                # After a while it is one that was lost: sending it again unseen could cost the call twice.
                is_answer = connection.has_answered or time.monotonic() - sent_s > STALE_S
                if error.kind is not UpstreamErrorKind.PROTOCOL or is_answer:
                    raise
            request.is_sent = False
        connection = await self._connect(origin, deadline_s)
        request.is_sent = True
        return await self._exchange(origin, connection, message, deadline_s)

    def close(self) -> None:
        self._pool.close()

    async def _connect(self, origin: Origin, deadline_s: float) -> Http1Connection:
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                return await self._pool.connect(origin)
        except TimeoutError as error:
            raise UpstreamError(UpstreamErrorKind.TIMEOUT, "The upstream cannot be reached in time.") from error

    async def _exchange(
        self, origin: Origin, connection: Http1Connection, message: bytes, deadline_s: float
    ) -> "UpstreamResponse":
        try:
            await connection.exchange(message, deadline_s)
        except BaseException:
            connection.abort()
            raise
        return UpstreamResponse(self._pool, origin, connection)

    def _place(self, url: str) -> tuple[Origin, str]:
        """Origin and the request's first two lines."""
        place = self._places.get(url)
        if place is None:
            parts = urlsplit(url)
            is_tls = parts.scheme == "https"
            port = parts.port or (_HTTPS_PORT if is_tls else _HTTP_PORT)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            place = (
                Origin(parts.hostname or "", port, is_tls),
                f"POST {path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\n",
            )
            if len(self._places) < _REMEMBERED_URLS:
                self._places[url] = place
        return place


class UpstreamResponse:
    """The head of an answer, and its body to be read once, whole or in chunks as they come."""

    __slots__ = ("_connection", "_origin", "_pool", "headers", "status")

    def __init__(self, pool: ConnectionPool, origin: Origin, connection: Http1Connection) -> None:
        self._pool = pool
        self._origin = origin
        self._connection = connection
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        """Header names are lower-case."""

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; "" where none is told."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_reusable(self) -> bool:
        """Whether the body has come, and was taken, to its end, on a connection that stays open."""
        return self._connection.is_reusable

    async def read(self, limit_bytes: int, deadline_s: float) -> bytes:
        """The whole body. Raises UpstreamError of kind TIMEOUT, or PROTOCOL when it breaks off or is over the limit."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self._connection.next_chunk(deadline_s):
            size += len(piece)
            if size > limit_bytes:
                raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is too large.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def next_chunk(self, idle_s: float) -> bytes:
        """The next piece of the body as it arrives, b"" at its end. Raises UpstreamError as `read` does."""
        return await self._connection.next_chunk(time.monotonic() + idle_s)

    async def flow(self, take: Callable[[bytes], bool], idle_s: float, deadline_s: float) -> None:
        """Hands the body on as it arrives, as Http1Connection.flow does."""
        await self._connection.flow(take, idle_s, deadline_s)

    def take_arrived(self) -> bytes:
        """What has arrived of the body and was not taken, without waiting; b"" where that is nothing."""
        return self._connection.take_arrived()

    def release(self) -> None:
        """Keeps the connection when the answer was read to its end; cuts the upstream off otherwise."""
        self._pool.give_back(self._origin, self._connection)


def _message(line: str, request: UpstreamRequest) -> bytes:
    """The request as bytes. Raises UpstreamError when a header cannot be sent as it is."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    count = len(request.headers)
    if not fields.isascii() or fields.count("\n") != count or fields.count("\r") != count or "\0" in fields:
        raise UpstreamError(UpstreamErrorKind.CONNECT, "A header or the secret of the upstream is not plain text.")
    return f"{line}{fields}content-length: {len(request.body)}\r\n\r\n".encode() + request.body
