"""`python -m tests.bench.spool`: CPU that one call costs a data plane for its spool and its usage's way to NATS.

What a process does per call to write an attempt down, to end it and to publish the event, against a real NATS server;
the same loop without usage is taken off. CPU time of the process in all its threads, so that what else runs on the
machine counts little; the least of many rounds is what counts. Without --rate, calls come as fast as they are taken.
Beside each figure stands what it would be where loading 6 kB of JSON takes _LOAD_US, as on the machine of the target.

python -m tests.bench.spool [--calls N] [--rounds N] [--rate CALLS_PER_SECOND]
"""

import argparse
import asyncio
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from controlplane.ledger.stream import StreamSettings, ensure_stream
from dataplane.call import Attempt, Outcome
from dataplane.metering.emitter import SpoolBounds
from dataplane.metering.jetstream import JetStreamLink
from dataplane.metering.publisher import Publisher
from dataplane.metering.room import UsageRoom
from tests.fakes.outcomes import make_attempt, make_call, make_outcome
from tests.integration.emitter.conftest import jetstream
from tollctl.local.nats import EmbeddedNats
from tollway.kernel.subjects import usage_subject
from tollway.kernel.usage import SettlementState, Usage

STREAM_BYTES = 2 << 30
_BURST_CALLS = 20
_TARGET_US = 30.0
_LOAD_US = 3.6
_LOADS = 2_000
_JSON = orjson.dumps({"messages": [{"role": "user", "content": "hello world " * 40} for _ in range(12)]})
_FLUSH_TIMEOUT_S = 60.0


@dataclass(slots=True)
class BenchCall:
    """A call, and its one attempt as it stands at its start and at its end."""

    outcome: Outcome
    begun: Attempt
    ended: Attempt

    def serve(self, usage: UsageRoom | None) -> None:
        """As the pipeline does; without `usage` nothing is written."""
        self.outcome.attempts = []
        if usage is not None:
            usage.emitter.has_room(_BURST_CALLS)
            usage.emitter.begin(self.outcome, self.begun)
        self.ended.is_emitted = False
        self.outcome.attempts = [self.ended]
        if usage is not None:
            usage.emitter.emit(self.outcome)


def make_calls(count: int) -> list[BenchCall]:
    """Different calls, as an app with metadata makes them."""
    metadata = {"app": "search", "project": "p7"}
    calls = [
        make_call(request_id=f"req_{number:032x}", metadata=metadata, end_user=f"user-{number % 1000}")
        for number in range(count)
    ]
    begun = make_attempt(usage=Usage(input=3), state=SettlementState.ESTIMATED, basis=SettlementState.ESTIMATED)
    ended = make_attempt(basis=SettlementState.REPORTED)
    return [BenchCall(make_outcome(call=call), begun, replace(ended)) for call in calls]


async def measure(calls: int, rounds: int, rate: float) -> None:
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        server = EmbeddedNats(Path(folder) / "nats")
        await server.start()
        try:
            async with jetstream(server.url()) as context:
                await ensure_stream(context, StreamSettings(STREAM_BYTES, 1))
            costs = [await _round(Path(folder), server.url(), number, calls, rate) for number in range(1, rounds + 1)]
        finally:
            await server.stop()
    print(f"spool and publishing, us of CPU per call at {rate:g} calls/s, here and scaled")
    for name, of in (("least", min), ("median", statistics.median)):
        print(f"{name:7}{of(cost for cost, _ in costs):7.1f}{of(scaled for _, scaled in costs):7.1f}")
    print(f"at most {_TARGET_US:g} is the target")


async def _round(folder: Path, url: str, number: int, calls: int, rate: float) -> tuple[float, float]:
    """Microseconds per call, and what they would be on the machine of the target."""
    before_us = _load_us()
    idle_s = await _paced(calls, rate, None)
    usage = UsageRoom.build(folder / "spool", number, has_ledger=True, bounds=SpoolBounds())
    link = JetStreamLink([url], usage_subject("bench"), "bench", random.uniform)
    publisher = Publisher(usage.outbox, link, random.uniform)
    tasks = [asyncio.create_task(publisher.run()), asyncio.create_task(link.run())]
    try:
        await link.wait_connected()
        spent_s = await _paced(calls, rate, usage)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        usage.close()
    cost_us = (spent_s - idle_s) / calls * 1e6
    return cost_us, cost_us * 2 * _LOAD_US / (before_us + _load_us())


def _load_us() -> float:
    """How fast this machine is at the moment."""
    began_s = time.process_time()
    for _ in range(_LOADS):
        orjson.loads(_JSON)
    return (time.process_time() - began_s) / _LOADS * 1e6


async def _paced(calls: int, rate: float, usage: UsageRoom | None) -> float:
    """CPU seconds of the process over `calls`, in bursts at `rate` per second; without `usage` nothing is written."""
    loop, burst = asyncio.get_running_loop(), make_calls(_BURST_CALLS)
    next_s = loop.time()
    with _no_collections():
        began_s = time.process_time()
        for _ in range(0, calls, _BURST_CALLS):
            for call in burst:
                call.serve(usage)
            next_s += _BURST_CALLS / rate
            await asyncio.sleep(max(0.0, next_s - loop.time()))
        if usage is not None:
            await usage.emitter.flush(_FLUSH_TIMEOUT_S)
        return time.process_time() - began_s


@contextmanager
def _no_collections() -> Iterator[None]:
    """Collections walk what the bench itself holds, which no data plane has."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rate", type=float, default=100_000)
    given = parser.parse_args()
    import uvloop

    uvloop.run(measure(given.calls, given.rounds, given.rate))


if __name__ == "__main__":
    main()
