"""Usage events as data planes write them, and the sums that a ledger must show for them."""

import itertools
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollway.kernel.usage import event_id
from tollway.usage.v1.usage_pb2 import (
    METER_CACHE_READ,
    METER_INPUT,
    METER_OUTPUT,
    METER_REASONING,
    SETTLEMENT_STATE_REPORTED,
    MeterReading,
    UsageEvent,
    UsageEventBatch,
)

MINUTE_US = 60_000_000
TEAMS = ("teams/growth", "teams/search", "teams/ops")
REPORTED = SETTLEMENT_STATE_REPORTED


def request_id(start_time_us: int, number: int) -> str:
    """A gateway's id of a call that began at `start_time_us`; `number` tells calls apart."""
    tail = number & (1 << 62) - 1
    return f"req_{start_time_us // 1000 << 80 | 0x7 << 76 | 0b10 << 62 | tail:032x}"


@dataclass(slots=True)
class FakeDataPlane:
    """Writes events with ids and sequence numbers of its own, as one process does."""

    boot_id: int
    start_time_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    _sequence: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def event(self, **fields: Any) -> UsageEvent:
        """An event of a call with one attempt that went well, but for `fields`."""
        sequence = next(self._sequence)
        start_time_us = fields.pop("start_time_us", self.start_time_us + sequence)
        values: dict[str, Any] = {
            "event_id": event_id(start_time_us // 1000, self.boot_id, sequence).bytes,
            "boot_id": self.boot_id,
            "sequence": sequence,
            "request_id": request_id(start_time_us, self.boot_id << 24 | sequence),
            "attempt": 1,
            "final": True,
            "team": TEAMS[sequence % len(TEAMS)],
            "user": "teams/growth",
            "operation": "chat",
            "requested_model": "sim/echo",
            "upstream": "upstreams/sim",
            "provider": "sim",
            "upstream_model": "echo",
            "response_model": "echo",
            "start_time_us": start_time_us,
            "first_frame_time_us": start_time_us + 1_000,
            "end_time_us": start_time_us + 2_000,
            "status": 200,
            "meters": readings({METER_INPUT: 10 + sequence % 7, METER_OUTPUT: 20}),
            "state": REPORTED,
            "cost_nano_usd": 1_000 + sequence % 11,
            "price": "prices/sim",
            "price_revision": 3,
        }
        values.update(fields)
        values.setdefault("key", f"{values['team']}/keys/ci")
        return UsageEvent(**values)

    def events(self, count: int) -> list[UsageEvent]:
        return [self.event() for _ in range(count)]


def readings(quantities: dict[Any, int]) -> list[MeterReading]:
    return [MeterReading(meter=meter, quantity=quantity) for meter, quantity in quantities.items()]


def rich_readings() -> list[MeterReading]:
    return readings({METER_INPUT: 5, METER_CACHE_READ: 7, METER_OUTPUT: 11, METER_REASONING: 4})


def batch(events: Iterable[UsageEvent]) -> bytes:
    """One JetStream message."""
    return UsageEventBatch(events=events).SerializeToString()


def batches(events: Sequence[UsageEvent], size: int) -> list[bytes]:
    return [batch(events[start : start + size]) for start in range(0, len(events), size)]


def event_uuid(event: UsageEvent) -> uuid.UUID:
    return uuid.UUID(bytes=event.event_id)


@dataclass(slots=True)
class Truth:
    """What a ledger must show after `events`, each counted once."""

    events: int = 0
    requests: int = 0
    attempts: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0

    @classmethod
    def of(cls, events: Iterable[UsageEvent]) -> "Truth":
        truth = cls()
        for event in {bytes(event.event_id): event for event in events}.values():
            is_attempt = event.attempt > 0
            quantities = {reading.meter: reading.quantity for reading in event.meters}
            truth.events += 1
            truth.requests += event.final and is_attempt
            truth.refused += event.final and not is_attempt
            truth.attempts += is_attempt
            truth.input_tokens += quantities.get(METER_INPUT, 0) + quantities.get(METER_CACHE_READ, 0)
            truth.output_tokens += quantities.get(METER_OUTPUT, 0)
            truth.cost_nano_usd += event.cost_nano_usd
        return truth
