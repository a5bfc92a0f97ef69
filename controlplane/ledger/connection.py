"""NATS connections of the consumer.

nats-py's own reconnecting is off: it resends what it had buffered and may wait without bound for a stalled socket. A
connection that is lost is over, and the next one is a new client.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError

CONNECT_TIMEOUT_S = 2
CONNECT_DEADLINE_S = 5.0
CLOSE_TIMEOUT_S = 2
PING_INTERVAL_S = 2
MAX_OUTSTANDING_PINGS = 2

_log = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[Client]]


def connector(servers: Sequence[str], name: str) -> Connect:
    """Opens connections to one of `servers`, nats:// or tls:// URLs with credentials, under the client name `name`.

    What it returns raises nats.errors.Error, OSError or TimeoutError.
    """

    async def connect() -> Client:
        client = Client()
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await client.connect(
                    list(servers),
                    name=name,
                    error_cb=_note_error,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    ping_interval=PING_INTERVAL_S,
                    max_outstanding_pings=MAX_OUTSTANDING_PINGS,
                )
        except BaseException:
            await close(client)
            raise
        return client

    return connect


async def close(client: Client) -> None:
    """Send what is buffered, acknowledgements among it, and close; bounded, and harmless when the server is away."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            if client.is_connected:
                await client.flush(timeout=CLOSE_TIMEOUT_S)
            await client.close()
    except (NatsError, OSError, TimeoutError) as error:
        _log.debug("close failed error=%s", type(error).__name__)


def described(error: Exception) -> str:
    """Type and text of a NATS error; these hold neither URL nor credentials."""
    return f"{type(error).__name__} {error}".strip()


async def _note_error(error: Exception) -> None:
    _log.debug("nats error=%s", type(error).__name__)
