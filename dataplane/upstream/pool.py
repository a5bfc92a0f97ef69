"""Connections to upstreams, kept open between calls: one stack per origin, the last one used first."""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass

from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.addresses import is_forbidden
from dataplane.upstream.http1 import Http1Connection

CONNECT_S = 5.0
IDLE_S = 25.0
DNS_CACHE_S = 10.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads."""

    host: str
    port: int
    is_tls: bool


class ConnectionPool:
    """Hands out connections. Idle ones are closed after IDLE_S, before most servers would."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._tls = tls or _tls_context()
        self._idle: dict[Origin, deque[tuple[Http1Connection, float]]] = {}
        self._addresses: dict[tuple[str, int], tuple[list[str], float]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def take_idle(self, origin: Origin) -> Http1Connection | None:
        """An open connection that has served before; None when there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.pop()
            if connection.is_open:
                return connection
        return None

    async def connect(self, origin: Origin) -> Http1Connection:
        """A new connection, within CONNECT_S. Raises UpstreamError of kind CONNECT."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._connect(origin)
        except (OSError, ssl.SSLError, TimeoutError) as error:
            raise UpstreamError(
                UpstreamErrorKind.CONNECT, "The upstream cannot be reached.", detail=type(error).__name__
            ) from error

    def give_back(self, origin: Origin, connection: Http1Connection) -> None:
        """Keeps `connection` for the next call when another exchange may follow on it; cuts it otherwise."""
        if not connection.is_reusable:
            connection.abort()
            return
        self._idle.setdefault(origin, deque()).append((connection, self._loop.time() + IDLE_S))
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_S, self._close_idle)

    def close(self) -> None:
        """Cuts all idle connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection, _ in idle:
                connection.abort()
        self._idle.clear()

    async def _connect(self, origin: Origin) -> Http1Connection:
        """The first address that accepts. The address that is checked is the one that is connected to."""
        failure: OSError = OSError("the name has no address")
        for address in await self._resolve(origin):
            if is_forbidden(address):
                failure = PermissionError("a link-local or metadata address")
                continue
            try:
                _, connection = await self._loop.create_connection(
                    Http1Connection,
                    address,
                    origin.port,
                    ssl=self._tls if origin.is_tls else None,
                    server_hostname=origin.host if origin.is_tls else None,
                )
                return connection
            except OSError as error:
                failure = error
        raise failure

    async def _resolve(self, origin: Origin) -> list[str]:
        known = self._addresses.get((origin.host, origin.port))
        if known is not None and known[1] > self._loop.time():
            return known[0]
        found = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(place[4][0]) for place in found))
        self._addresses[origin.host, origin.port] = (addresses, self._loop.time() + DNS_CACHE_S)
        return addresses

    def _close_idle(self) -> None:
        now_s = self._loop.time()
        for idle in self._idle.values():
            while idle and (idle[0][1] <= now_s or not idle[0][0].is_open):
                idle.popleft()[0].abort()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        self._addresses = {name: found for name, found in self._addresses.items() if found[1] > now_s}
        self._sweep = self._loop.call_later(IDLE_S / 5, self._close_idle) if self._idle else None


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
