"""One connection to NATS that is always being made or held, and acknowledged publishing over it.

nats-py's own reconnecting is off: its reconnect task ends for good on an exception that it does not expect, waits
without bound for a stalled socket to close, and resends what it buffered. Every connection here is a new client.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

from tollway.kernel.subjects import USAGE_STREAM

_CONNECT_TIMEOUT_S: Final = 2
_CONNECT_DEADLINE_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 2.0
_PUBLISH_TIMEOUT_S: Final = 2.0
_PUBLISH_DEADLINE_S: Final = 5.0
_FLUSH_TIMEOUT_S: Final = 2.0
_PING_INTERVAL_S: Final = 2
_MAX_OUTSTANDING_PINGS: Final = 2
_PENDING_BYTES: Final = 1_048_576
_WATCH_INTERVAL_S: Final = 0.1
_LOG_INTERVAL_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 0.5
_MOST_DOUBLINGS: Final = 3
_MESSAGE_ID_HEADER: Final = "Nats-Msg-Id"

logger = logging.getLogger(__name__)


class PublishFailed(Exception):
    """JetStream did not acknowledge a message: it may or may not have it. The text is safe to log."""


class JetStreamLink:
    """Publishes to the usage stream on `subject`.

    servers: nats:// or tls:// URLs, each with the credentials for it; they are never logged.
    client_name: what NATS shows of this connection.
    uniform(low, high): draws the jitter of pauses between connection attempts.
    """

    def __init__(
        self, servers: Sequence[str], subject: str, client_name: str, uniform: Callable[[float, float], float]
    ) -> None:
        self._servers = list(servers)
        self._subject = subject
        self._client_name = client_name
        self._uniform = uniform
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._connected = asyncio.Event()
        self._failures = 0
        self._next_log_s = 0.0

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    async def publish(self, payload: bytes, message_id: str) -> None:
        """Publish and wait for the acknowledgement; raises PublishFailed within seconds when there is none."""
        jetstream = self._jetstream
        if jetstream is None:
            raise PublishFailed("not connected")
        try:
            async with asyncio.timeout(_PUBLISH_DEADLINE_S):
                await jetstream.publish(
                    self._subject,
                    payload,
                    timeout=_PUBLISH_TIMEOUT_S,
                    stream=USAGE_STREAM,
                    headers={_MESSAGE_ID_HEADER: message_id},
                )
        except Exception as error:  # noqa: BLE001 - nats-py lets AttributeError and the like out while it closes
            raise PublishFailed(_reason(error)) from None
        finally:
            _restore_cancellation()

    async def run(self) -> None:
        """Connect, and connect anew whenever the connection is lost, until cancelled."""
        try:
            while True:
                await self._connect()
                await self._hold()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connection; bounded, and harmless when there is none."""
        client, self._client, self._jetstream = self._client, None, None
        self._connected.clear()
        if client is not None:
            await _close(client)

    async def _connect(self) -> None:
        while self._client is None:
            client = Client()
            try:
                async with asyncio.timeout(_CONNECT_DEADLINE_S):
                    await client.connect(
                        self._servers,
                        error_cb=self._note_error,
                        name=self._client_name,
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        connect_timeout=_CONNECT_TIMEOUT_S,
                        ping_interval=_PING_INTERVAL_S,
                        max_outstanding_pings=_MAX_OUTSTANDING_PINGS,
                        pending_size=_PENDING_BYTES,
                        flush_timeout=_FLUSH_TIMEOUT_S,
                    )
            except Exception as error:  # noqa: BLE001 - whatever it is, usage waits in memory and the next try may do
                await _close(client)
                await self._note_failure(error)
            else:
                self._client, self._jetstream, self._failures = client, client.jetstream(), 0
                self._connected.set()
                logger.info("connected to NATS server=%s", _host(client))

    async def _hold(self) -> None:
        """Return when the connection is lost. nats-py tells by callback only after it has closed the socket."""
        while self._client is not None and self._client.is_connected:  # noqa: ASYNC110
            await asyncio.sleep(_WATCH_INTERVAL_S)
        logger.warning("lost the connection to NATS; usage events wait in memory")
        await self.close()

    async def _note_failure(self, error: Exception) -> None:
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        await self._note_error(error)
        await asyncio.sleep(self._uniform(pause_s / 2, pause_s))

    async def _note_error(self, error: Exception) -> None:
        if (now_s := time.monotonic()) >= self._next_log_s:
            self._next_log_s = now_s + _LOG_INTERVAL_S
            logger.warning("trouble with NATS reason=%s", _reason(error))


def _restore_cancellation() -> None:
    """Raise CancelledError when this task was cancelled: nats-py swallows that while it flushes."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _close(client: Client) -> None:
    if client.is_closed:
        return
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await client.close()
    except Exception as error:  # noqa: BLE001 - nothing is left to do with it
        logger.debug("closing the connection to NATS failed reason=%s", _reason(error))


def _host(client: Client) -> str:
    url = client.connected_url
    return "" if url is None else f"{url.hostname}:{url.port}"


def _reason(error: Exception) -> str:
    """What happened, without anything that could hold a URL's credentials."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    if isinstance(error, NatsError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__
