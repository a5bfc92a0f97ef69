"""Pulls messages of the usage stream, a few ahead of what is being booked.

nats-py's own fetch waits for a full batch once one message has come; here whatever has come is handed out at once.
"""

import asyncio
import logging
import time
from collections import deque

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from controlplane.ledger.entries import Delivery
from tollway.kernel.subjects import USAGE_CONSUMER, USAGE_STREAM

BATCH_MESSAGES = 64
PULL_EXPIRES_S = 2.0
WAIT_S = 0.5
PENDING_BYTES = 256 << 20
_NEXT_SUBJECT = f"$JS.API.CONSUMER.MSG.NEXT.{USAGE_STREAM}.{USAGE_CONSUMER}"
_ACK_SUBJECT = "$JS.ACK."
_SUBJECT_CHARACTERS = 256
_NO_RESPONDERS = "503"
_CONFLICT = "409"
_CONSUMER_GONE = "consumer deleted"

_log = logging.getLogger(__name__)


class UsageSource:
    """Messages of one connection; `receive` may be called by several tasks.

    `credit` is how many messages the server may still send for the pulls that it was asked.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._subscription: Subscription | None = None
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._inbox = client.new_inbox()
        self._credit = 0
        self._pull_end_s = 0.0
        self._is_lost = False
        self._is_stopped = False

    @property
    def is_closed(self) -> bool:
        """True when the connection is over."""
        return not self._client.is_connected

    @property
    def is_lost(self) -> bool:
        """True when the server no longer knows the stream or its consumer; `open` again once they are there."""
        return self._is_lost

    async def open(self) -> None:
        """Raises nats.errors.Error."""
        if self._subscription is None:
            self._subscription = await self._client.subscribe(
                self._inbox, cb=self._take, pending_bytes_limit=PENDING_BYTES
            )
        self._is_lost = False
        self._credit = 0
        self._wake.set()

    def stop(self) -> None:
        """Ask for no more; calls of `receive` return what is there."""
        self._is_stopped = True
        self._wake.set()

    async def receive(self) -> list[Msg]:
        """What has come, at most BATCH_MESSAGES; empty after a while without any."""
        if not self._arrived:
            await self._ask()
            await self._wait()
        messages = [self._arrived.popleft() for _ in range(min(len(self._arrived), BATCH_MESSAGES))]
        if messages:
            await self._ask()
        return messages

    async def _wait(self) -> None:
        self._wake.clear()
        if self._arrived or self._is_stopped:
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _ask(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._pull_end_s:
            self._credit = 0
        held = self._credit + len(self._arrived)
        if held > BATCH_MESSAGES // 2 or self._is_lost or self._is_stopped or self.is_closed:
            return
        batch = BATCH_MESSAGES - held
        pull = {"batch": batch, "expires": int(PULL_EXPIRES_S * 1e9)}
        self._credit += batch
        self._pull_end_s = now_s + PULL_EXPIRES_S
        try:
            await self._client.publish(_NEXT_SUBJECT, orjson.dumps(pull), reply=self._inbox)
        except NatsError as error:
            _log.debug("pull failed error=%s", type(error).__name__)

    async def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            if message.reply.startswith(_ACK_SUBJECT):
                self._credit -= 1
                self._arrived.append(message)
                self._wake.set()
            return
        # Any status ends a pull; asking again too early costs one more pull, asking too late costs a wait.
        self._credit = 0
        description = headers.get("Description", "").lower()
        if status == _NO_RESPONDERS or (status == _CONFLICT and description == _CONSUMER_GONE):
            self._is_lost = True
        self._wake.set()


def delivery_of(message: Msg) -> Delivery:
    """What the ledger keeps of `message`."""
    metadata = message.metadata
    return Delivery(
        subject=message.subject.replace("\0", "\N{REPLACEMENT CHARACTER}")[:_SUBJECT_CHARACTERS],
        stream_sequence=metadata.sequence.stream,
        deliveries=metadata.num_delivered,
        data=message.data,
    )
