"""Stores that are not the stack's own: what can be said about their URLs before anything starts."""

import asyncio
import time
from urllib.parse import SplitResult, urlsplit

from tollctl.local.errors import LocalError
from tollctl.local.probe import read_greeting

_NATS_TIMEOUT_S = 3.0
_NATS_PORT = 4222
_POLL_INTERVAL_S = 0.1


def check_database_url(url: str | None) -> None:
    """Raises LocalError unless url is None or of PostgreSQL; the message holds no password."""
    if url is not None:
        _split(url, ("postgresql", "postgres"), "--database-url", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE")


async def check_nats(url: str | None) -> None:
    """Raises LocalError where url is no NATS URL, or no NATS server greets there within 3 s."""
    if url is None:
        return
    hosts = [
        _split(part.strip(), ("nats", "tls"), "--nats-url", "nats://USER:PASSWORD@HOST:PORT") for part in url.split(",")
    ]
    deadline = time.monotonic() + _NATS_TIMEOUT_S
    while not await _any_greets(hosts):
        if time.monotonic() >= deadline:
            places = ", ".join(f"{host.hostname}:{host.port or _NATS_PORT}" for host in hosts)
            raise LocalError(f"no NATS server answers at {places}: correct --nats-url, or leave it out")
        await asyncio.sleep(_POLL_INTERVAL_S)


async def _any_greets(hosts: list[SplitResult]) -> bool:
    for host in hosts:
        greeting = await read_greeting(host.hostname or "", host.port or _NATS_PORT)
        if greeting.startswith(b"INFO "):
            return True
    return False


def _split(url: str, schemes: tuple[str, ...], flag: str, form: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise LocalError(f"{flag} cannot be read: write it as {form}") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise LocalError(f"{flag} is not the URL of such a server: write it as {form}")
    return parts
