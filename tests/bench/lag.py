"""How long after its end a call is in the ledger, while events come at a steady rate.

python -m tests.bench.lag [--rate EVENTS_PER_SECOND] [--seconds S]

What is read is the consumer's own histogram: of each transaction, the time from the end of its oldest call to its
commit. The figure printed for p99 is the upper bound of the bucket that 99% of the transactions are within.
"""

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import nats
from nats.js import JetStreamContext
from prometheus_client.parser import text_string_to_metric_families

from controlplane.ledger.stream import StreamSettings, ensure_stream
from controlplane.migrations import upgrade
from tests.fakes.usage_events import FakeDataPlane, batch
from tests.integration.ledger.processes import ConsumerProcesses
from tests.integration.ledger.waiting import wait_until
from tollctl.local.nats import EmbeddedNats
from tollctl.local.postgres import EmbeddedPostgres
from tollway.kernel.subjects import USAGE_STREAM, usage_subject

STREAM_BYTES = 1 << 30
MESSAGES_PER_S = 20
MAX_P99_S = 2.0
_LAG = "tollway_ledger_lag_seconds"
_INSERTED = "tollway_ledger_events_total"


async def measure(rate: int, seconds: int) -> float:
    """The p99 of the lag in seconds, as a bucket's upper bound."""
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        postgres, server = EmbeddedPostgres(Path(folder) / "pg"), EmbeddedNats(Path(folder) / "nats")
        await asyncio.gather(postgres.start(), server.start())
        processes = ConsumerProcesses(postgres.url(), server.url(), Path(folder))
        try:
            await upgrade(postgres.url())
            client = await nats.connect(server.url())
            await ensure_stream(client.jetstream(timeout=10), StreamSettings(STREAM_BYTES, 1))
            consumer = await processes.start()
            sent = await _publish_steadily(client.jetstream(timeout=10), rate, seconds)
            await client.close()

            async def is_booked() -> bool:
                return _booked((await consumer.read("/metrics"))[1]) >= sent

            await wait_until(is_booked, timeout_s=60)
            return _quantile(_lags((await consumer.read("/metrics"))[1]), 0.99)
        finally:
            await processes.stop_all()
            await asyncio.gather(postgres.stop(), server.stop())


async def _publish_steadily(jetstream: JetStreamContext, rate: int, seconds: int) -> int:
    """How many events were sent, each with the end that it was sent at."""
    plane, sent, per_message = FakeDataPlane(boot_id=9), 0, math.ceil(rate / MESSAGES_PER_S)
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        if sent >= rate * elapsed_s:
            await asyncio.sleep((sent + per_message) / rate - elapsed_s)
        now_us = time.time_ns() // 1000
        events = [plane.event(start_time_us=now_us - 5_000, end_time_us=now_us) for _ in range(per_message)]
        await jetstream.publish(usage_subject("bench"), batch(events), stream=USAGE_STREAM)
        sent += per_message
    return sent


def _booked(text: str) -> int:
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return int(sum(s.value for s in samples if s.name == _INSERTED and s.labels.get("result") == "inserted"))


def _lags(text: str) -> list[tuple[float, float]]:
    """Upper bounds of buckets in seconds, and how many observations are within each."""
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return sorted((float(s.labels["le"]), s.value) for s in samples if s.name == f"{_LAG}_bucket")


def _quantile(buckets: Iterable[tuple[float, float]], fraction: float) -> float:
    known = list(buckets)
    wanted = fraction * known[-1][1]
    return next(bound for bound, count in known if count >= wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=20)
    given = parser.parse_args()
    p99_s = asyncio.run(measure(given.rate, given.seconds))
    print(f"lag p99 within {p99_s:g} s at {given.rate:,} events/s over {given.seconds} s, bound {MAX_P99_S:g} s")
    raise SystemExit(p99_s > MAX_P99_S)


if __name__ == "__main__":
    main()
