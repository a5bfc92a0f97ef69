"""Batches that wait for NATS, of all producers; what does not fit memory waits in the spool."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from dataplane.metering.batches import Batch, batches_of
from dataplane.metering.producer import Producer

CAPACITY_BYTES: Final = 32 << 20
READ_RETRY_S: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sending:
    """A batch on its way, as its producer knows it, and the messages that carry its events."""

    producer: Producer
    noted: Batch
    messages: list[Batch]


class Outbox:
    """One per process; its loop's thread only. Holds the bytes of at most `capacity_bytes` of batches.

    `unreadable_events` counts those that were to be read from a spool and are not in it.
    """

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._waiting: asyncio.Queue[tuple[Producer, Batch]] = asyncio.Queue()
        self._reading = asyncio.Lock()
        self._held_bytes = 0
        self._all_settled = asyncio.Event()
        self._unsettled = 0
        self.delivered_events = 0
        self.unreadable_events = 0

    def put(self, producer: Producer, batch: Batch) -> None:
        """Take a batch of `producer`, whose events are in its journal."""
        if self._held_bytes + len(batch.payload) > self._capacity_bytes:
            batch = replace(batch, payload=b"")
        self._held_bytes += len(batch.payload)
        self._waiting.put_nowait((producer, producer.send(batch)))
        self._unsettled += 1

    async def take(self) -> Sending:
        """Wait for a batch; whoever takes it tells `settle` when NATS has it."""
        producer, noted = await self._waiting.get()
        if noted.payload:
            return Sending(producer, noted, [noted])
        async with self._reading:
            return Sending(producer, noted, await self._read(producer, noted))

    def settle(self, sending: Sending) -> None:
        """Forget a batch that NATS has accepted."""
        self._held_bytes -= len(sending.noted.payload)
        self._unsettled -= 1
        self.delivered_events += sum(message.events for message in sending.messages)
        sending.producer.settle(sending.noted)
        if not self._unsettled:
            self._all_settled.set()

    async def wait_empty(self, timeout_s: float) -> bool:
        """Whether NATS had accepted everything that was put here within that time."""
        if self._unsettled:
            self._all_settled.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._all_settled.wait()
            except TimeoutError:
                return False
        return True

    async def _read(self, producer: Producer, noted: Batch) -> list[Batch]:
        """The messages of a batch whose events are in the spool, tried until the disk gives what it has of them."""
        while True:
            try:
                messages = await asyncio.to_thread(_messages, producer, noted)
            except OSError as error:
                logger.error("the spool cannot be read, tried again soon error=%s", error.strerror or error)
                await asyncio.sleep(READ_RETRY_S)
                continue
            absent = producer.note_absent(_absent(noted, messages))
            if absent:
                self.unreadable_events += absent
                text = "usage events are not in the spool boot_id=%d first=%d last=%d events=%d"
                logger.error(text, producer.boot_id, noted.first_sequence, noted.last_sequence, absent)
            return messages


def _messages(producer: Producer, noted: Batch) -> list[Batch]:
    events = producer.journal.read(noted.first_sequence, noted.last_sequence)
    return list(batches_of(producer.boot_id, events, noted.suffix))


def _absent(noted: Batch, messages: Iterable[Batch]) -> Iterator[tuple[int, int]]:
    """The ranges of `noted` that no message carries."""
    expected = noted.first_sequence
    for message in messages:
        if message.first_sequence > expected:
            yield expected, message.first_sequence - 1
        expected = message.last_sequence + 1
    if expected <= noted.last_sequence:
        yield expected, noted.last_sequence
