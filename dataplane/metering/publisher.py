"""Workers that carry batches from the outbox to JetStream, each batch until it is acknowledged."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from dataplane.metering.batches import Batch
from dataplane.metering.jetstream import PublishFailed
from dataplane.metering.outbox import Outbox

WORKERS: Final = 16
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_LOG_INTERVAL_S: Final = 10.0

logger = logging.getLogger(__name__)


class Link(Protocol):
    """Where batches go."""

    async def wait_connected(self) -> None: ...

    async def publish(self, payload: bytes, message_id: str) -> None:
        """Raises PublishFailed when it is not known that the message arrived."""
        ...


class Publisher:
    """Takes batches from `outbox` to `link`. A batch is tried under one message id until it is acknowledged.

    uniform(low, high): draws the jitter of pauses between tries.
    """

    def __init__(self, outbox: Outbox, link: Link, uniform: Callable[[float, float], float]) -> None:
        self._outbox = outbox
        self._link = link
        self._uniform = uniform
        self._next_log_s = 0.0
        self.retries = 0

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"usage-publisher-{number}")

    async def _work(self) -> None:
        while True:
            sending = await self._outbox.take()
            for message in sending.messages:
                await self._deliver(message)
            self._outbox.settle(sending)

    async def _deliver(self, batch: Batch) -> None:
        longest_pause_s = _FIRST_PAUSE_S
        while True:
            await self._link.wait_connected()
            try:
                return await self._link.publish(batch.payload, batch.message_id)
            except PublishFailed as error:
                self.retries += 1
                self._note(batch.message_id, error)
            await asyncio.sleep(self._uniform(_FIRST_PAUSE_S, longest_pause_s))
            longest_pause_s = min(_LONGEST_PAUSE_S, longest_pause_s * 2)

    def _note(self, message_id: str, error: PublishFailed) -> None:
        if (now_s := time.monotonic()) >= self._next_log_s:
            self._next_log_s = now_s + _LOG_INTERVAL_S
            logger.warning("usage is not acknowledged yet message=%s reason=%s", message_id, error)
