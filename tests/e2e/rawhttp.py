"""HTTP by hand: requests that no client library would send, and what comes back."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `framing` None declares the body's length; `host` None sends no Host."""

    path: str
    body: bytes = b""
    method: str = "POST"
    headers: tuple[str, ...] = ()
    version: str = "1.1"
    host: str | None = "gateway.example"
    framing: str | None = None
    is_last: bool = True

    def render(self, token: str) -> bytes:
        """The request's bytes, with `token` as its bearer; "" sends none."""
        lines = [f"{self.method} {self.path} HTTP/{self.version}"]
        lines += [] if self.host is None else [f"Host: {self.host}"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += [f"Content-Length: {len(self.body)}" if self.framing is None else self.framing]
        lines += ["Connection: close"] if self.is_last else []
        return "\r\n".join([*lines, *self.headers]).encode("latin-1") + b"\r\n\r\n" + self.body


@dataclass(slots=True)
class Reply:
    """All that came back until the server closed the connection; status 0 when that was no HTTP."""

    raw: bytes = b""
    elapsed_s: float = 0.0
    is_closed: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 0
    body: bytes = b""

    def read(self) -> "Reply":
        head, _, self.body = self.raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        self.status = int(words[1]) if words[0].startswith("HTTP/") else 0
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return self


async def exchange(url: str, *pieces: bytes, within_s: float, pause_s: float = 0.0) -> Reply:
    """Sends `pieces`, `pause_s` apart, and reads until the server closes, for at most `within_s` in all."""
    reply, began_s = Reply(), time.monotonic()
    async with connected(url) as (reader, writer):
        sending = asyncio.create_task(_send(writer, pieces, pause_s))
        try:
            async with asyncio.timeout(within_s), aclosing(_read(reader)) as chunks:
                async for chunk in chunks:
                    reply.raw += chunk
                reply.is_closed = True
        except TimeoutError:
            reply.is_closed = False
        finally:
            reply.elapsed_s = time.monotonic() - began_s
            sending.cancel()
            await asyncio.wait((sending,))
    return reply.read()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the server of `url`, closed at the end however it stands."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...], pause_s: float) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
    except ConnectionError:
        return


async def _read(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    try:
        while chunk := await reader.read(_READ_BYTES):
            yield chunk
    except ConnectionError:
        return
