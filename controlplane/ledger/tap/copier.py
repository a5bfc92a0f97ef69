"""Copies of booked messages on their way to the tap.

The consumer copies a message after its commit and before it acknowledges it: so whatever left the usage stream is in
the tap, and was there no earlier than in the ledger. A server that sources or republishes does not promise that: it
reads beside the consumer, which may be done with a message first, or loses copies when it is killed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from controlplane.ledger.connection import described
from controlplane.ledger.entries import Delivery
from controlplane.ledger.tap.stream import TapSettings, ensure_tap
from tollway.kernel.subjects import TAP_STREAM, tap_subject, tapped_subject

TRIES = 2
TIMEOUT_S = 2.0
SEQUENCE_HEADER = "Tollway-Stream-Sequence"

_log = logging.getLogger(__name__)


class TapCopier:
    """Never keeps the ledger from booking: what the tap does not take within some seconds is told to `count_lost`."""

    def __init__(self, settings: TapSettings, count_lost: Callable[[int], None]) -> None:
        self._settings = settings
        self._count_lost = count_lost
        self._client: Client | None = None
        self._problem = ""

    @property
    def is_open(self) -> bool:
        """True while the tap takes copies, and where none is wanted."""
        return self._client is not None or not self._settings.days

    def close(self) -> None:
        """Copies are lost until `open` has succeeded; for a connection that is over."""
        self._client = None

    async def open(self, client: Client) -> None:
        """Make the tap as it is to be; the next call of it may succeed where this one did not."""
        try:
            await ensure_tap(client.jetstream(), self._settings)
        except (NatsError, OSError, TimeoutError) as error:
            if described(error) != self._problem:
                self._problem = described(error)
                _log.warning("the tap is not there, copies are lost stream=%s error=%s", TAP_STREAM, self._problem)
            return
        self._client, self._problem = client, ""
        _log.info("the tap takes copies stream=%s days=%d", TAP_STREAM, self._settings.days)

    async def copy(self, messages: Sequence[Msg]) -> bool:
        """True when the tap has all of `messages` or is given up until it is opened again, False when the connection
        is over: then they come again, and must not be acknowledged."""
        if not self._settings.days:
            return True
        left = list(messages)
        client = self._client
        if client is not None:
            jetstream = client.jetstream(timeout=TIMEOUT_S)
            for _ in range(TRIES):
                done = await asyncio.gather(*(_publish(jetstream, message) for message in left))
                left = [message for message, is_done in zip(left, done, strict=True) if not is_done]
                if not left:
                    return True
            if not client.is_connected:
                return False
            _log.warning("the tap does not take copies, they are lost stream=%s messages=%d", TAP_STREAM, len(left))
        self.close()
        self._count_lost(len(left))
        return True


def tapped_delivery(message: Msg) -> Delivery:
    """The message that `message` of the tap is a copy of, as the ledger keeps it."""
    sequence = (message.headers or {}).get(SEQUENCE_HEADER, "")
    return Delivery(
        subject=tapped_subject(message.subject),
        stream_sequence=int(sequence) if sequence.isascii() and sequence.isdecimal() else 0,
        deliveries=1,
        data=message.data,
    )


async def _publish(jetstream: JetStreamContext, message: Msg) -> bool:
    headers = {SEQUENCE_HEADER: str(message.metadata.sequence.stream)}
    try:
        await jetstream.publish(tap_subject(message.subject), message.data, stream=TAP_STREAM, headers=headers)
    except (NatsError, OSError, TimeoutError) as error:
        _log.debug("copy failed error=%s", described(error))
        return False
    return True
