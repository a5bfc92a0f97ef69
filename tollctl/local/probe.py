"""Small questions to servers, asked without a client library: a start must not wait for imports."""

import asyncio

_TIMEOUT_S = 2.0


async def get_status(host: str, port: int, path: str, bearer: str = "") -> int | None:
    """The HTTP status that GET path answers, with a bearer token if one is given; None where nothing answers."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    answer = await _exchange(host, port, "\r\n".join([*lines, "", ""]).encode("ascii"))
    parts = answer.split(maxsplit=2)
    return int(parts[1]) if len(parts) > 1 and parts[0].startswith(b"HTTP/") and parts[1].isdigit() else None


async def read_greeting(host: str, port: int) -> bytes:
    """The first line that a server sends by itself; b"" where nothing does."""
    return await _exchange(host, port, b"")


async def _exchange(host: str, port: int, request: bytes) -> bytes:
    """The first line that comes back."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""
