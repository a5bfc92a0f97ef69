"""Connections to upstreams, kept open between calls: one stack per origin, the last one used first."""

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from dataclasses import dataclass

from aiohappyeyeballs import AddrInfoType, start_connection

from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.http1 import Http1Connection
from tollway.resources.addresses import is_forbidden_address

CONNECT_S = 5.0
STAGGER_S = 0.25
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
        self._addresses: dict[tuple[str, int], tuple[list[AddrInfoType], float]] = {}
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
        except (OSError, TimeoutError, UnicodeError) as error:
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
        """The first address that accepts, by RFC 8305. The addresses that are checked are those connected to."""
        places = [place for place in await self._resolve(origin) if not _is_forbidden(place)]
        if not places:
            raise PermissionError("the name has no address but link-local or metadata ones")
        ready = await start_connection(places, happy_eyeballs_delay=STAGGER_S)
        try:
            _, connection = await self._loop.create_connection(
                Http1Connection,
                sock=ready,
                ssl=self._tls if origin.is_tls else None,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            ready.close()
            raise
        return connection

    async def _resolve(self, origin: Origin) -> list[AddrInfoType]:
        known = self._addresses.get((origin.host, origin.port))
        if known is not None and known[1] > self._loop.time():
            return known[0]
        found = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        self._addresses[origin.host, origin.port] = (list(found), self._loop.time() + DNS_CACHE_S)
        return list(found)

    def _close_idle(self) -> None:
        now_s = self._loop.time()
        for idle in self._idle.values():
            while idle and (idle[0][1] <= now_s or not idle[0][0].is_open):
                idle.popleft()[0].abort()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        self._addresses = {name: found for name, found in self._addresses.items() if found[1] > now_s}
        self._sweep = self._loop.call_later(IDLE_S / 5, self._close_idle) if self._idle else None


def _is_forbidden(place: AddrInfoType) -> bool:
    return is_forbidden_address(ipaddress.ip_address(str(place[4][0]).partition("%")[0]))


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
