"""HTTP to upstreams: one pool of connections, bounded waits, and errors as kinds."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from dataplane.call import UpstreamRequest
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.addresses import ForbiddenAddress, open_socket

MAX_RESULT_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024
_KEEP_ALIVE_S = 25.0
_DNS_CACHE_S = 10
_SESSION_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5.0)


class Transport:
    """The data plane's only way out. Redirects, proxies from the environment and cookies are off."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,
            ttl_dns_cache=_DNS_CACHE_S,
            keepalive_timeout=_KEEP_ALIVE_S,
            socket_factory=open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_SESSION_TIMEOUT,
            trust_env=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),
        )

    async def send(self, request: UpstreamRequest, first_byte_s: float) -> "UpstreamResponse":
        """The answer's head. Raises UpstreamError of kind CONNECT, TIMEOUT or PROTOCOL."""
        with _mapped_errors():
            async with asyncio.timeout(first_byte_s):
                response = await self._session.post(
                    request.url, data=request.body, headers=request.headers, allow_redirects=False
                )
        return UpstreamResponse(response)

    async def close(self) -> None:
        await self._session.close()


class UpstreamResponse:
    """The head of an answer, and its body to be read once, whole or in chunks as they come."""

    __slots__ = ("_response", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    @property
    def is_event_stream(self) -> bool:
        return self._response.content_type == "text/event-stream"

    def lower_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    async def read(self, limit_bytes: int, timeout_s: float) -> bytes:
        """The whole body. Raises UpstreamError of kind TIMEOUT, or PROTOCOL when it breaks off or is over the limit."""
        pieces: list[bytes] = []
        size = 0
        with _mapped_errors():
            async with asyncio.timeout(timeout_s):
                while piece := await self._response.content.readany():
                    size += len(piece)
                    if size > limit_bytes:
                        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is too large.")
                    pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def next_chunk(self, idle_s: float) -> bytes:
        """The next piece of the body as it arrives, b"" at its end. Raises UpstreamError as `read` does."""
        with _mapped_errors():
            async with asyncio.timeout(idle_s):
                return await self._response.content.readany()

    def release(self) -> None:
        """Gives the connection back when the body was read to its end; closes it otherwise."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


@contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        is_connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        kind = UpstreamErrorKind.CONNECT if is_connecting else UpstreamErrorKind.TIMEOUT
        raise UpstreamError(kind, "The upstream did not answer in time.", detail=type(error).__name__) from error
    except aiohttp.ClientConnectorError as error:
        reason = "forbidden address" if isinstance(error.os_error, ForbiddenAddress) else "connect failed"
        raise UpstreamError(UpstreamErrorKind.CONNECT, "The upstream cannot be reached.", detail=reason) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise UpstreamError(
            UpstreamErrorKind.PROTOCOL, "The upstream broke off its answer.", detail=type(error).__name__
        ) from error
