"""Batches that wait for NATS, of all producers; what does not fit memory waits in the spool."""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from dataplane.metering.batches import Batch, joined
from dataplane.metering.producer import Producer

CAPACITY_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Sending:
    """A batch on its way; `noted` is the same batch as its producer knows it."""

    producer: Producer
    noted: Batch
    batch: Batch


class Outbox:
    """One per process; its loop's thread only. Holds the bytes of at most `capacity_bytes` of batches."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._waiting: deque[tuple[Producer, Batch]] = deque()
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        self._held_bytes = 0
        self._all_settled = asyncio.Event()
        self._unsettled = 0
        self.delivered_events = 0

    def put(self, producer: Producer, batch: Batch) -> None:
        """Take a batch of `producer`, whose events are in its journal."""
        if self._held_bytes + len(batch.payload) > self._capacity_bytes:
            batch = replace(batch, payload=b"")
        self._held_bytes += len(batch.payload)
        self._waiting.append((producer, producer.send(batch)))
        self._unsettled += 1
        self._wake.set()

    async def take(self) -> Sending:
        """Wait for a batch; whoever takes it tells `settle` when NATS has it."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        producer, noted = self._waiting.popleft()
        if noted.payload:
            return Sending(producer, noted, noted)
        async with self._reading:
            first, last = noted.first_sequence, noted.last_sequence
            events = await asyncio.to_thread(producer.journal.read, first, last)
        return Sending(producer, noted, replace(noted, payload=joined(events)))

    def settle(self, sending: Sending) -> None:
        """Forget a batch that NATS has accepted."""
        self._held_bytes -= len(sending.noted.payload)
        self._unsettled -= 1
        self.delivered_events += sending.noted.events
        sending.producer.settle(sending.noted)
        if not self._unsettled:
            self._all_settled.set()

    async def wait_empty(self, timeout_s: float) -> bool:
        """Whether NATS had accepted everything that was put here within that time."""
        if self._unsettled:
            self._all_settled.clear()
            try:
                await asyncio.wait_for(self._all_settled.wait(), timeout_s)
            except TimeoutError:
                return False
        return True
