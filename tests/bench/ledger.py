"""`make bench-ledger`: how fast one consumer books what waits in NATS, with Postgres beside it.

python -m tests.bench.ledger [--events N] [--teams N] [--consumers N] [--charges N]
"""

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

import asyncpg
import nats

from controlplane.ledger.stream import StreamSettings, ensure_stream
from controlplane.migrations import upgrade
from tests.fakes.usage_events import FakeDataPlane, batches
from tests.integration.ledger.processes import ConsumerProcesses
from tollctl.local.nats import EmbeddedNats
from tollctl.local.postgres import EmbeddedPostgres
from tollway.kernel.rules import bucket_id
from tollway.kernel.subjects import USAGE_STREAM, usage_subject
from tollway.usage.v1.usage_pb2 import Charge, UsageEvent

EVENTS_PER_MESSAGE = 100
MODELS = ("gpt-5", "gpt-5-mini", "claude", "echo", "embed")
STREAM_BYTES = 2 << 30
_FIRST_EVENTS = 10_000


def make_events(count: int, teams: int, charges: int = 0) -> list[UsageEvent]:
    """Calls of many teams, keys and models in one quarter of an hour, a few of them with metadata.

    Each charges as many budgets as `charges` says: of all calls, of its team, of its key.
    """
    chance, plane = random.Random(1), FakeDataPlane(boot_id=5)
    events = []
    for number in range(count):
        team, model = f"teams/t{int(teams * chance.random() ** 2)}", chance.choice(MODELS)
        key = f"{team}/keys/k{number % 5}"
        start_time_us = plane.start_time_us + number
        events.append(
            plane.event(
                team=team, key=key, requested_model=model, upstream_model=model, start_time_us=start_time_us,
                end_time_us=start_time_us + int(2**chance.uniform(10, 24)),
                first_frame_time_us=start_time_us + int(2**chance.uniform(9, 20)),
                metadata={"app": "search", "project": f"p{number % 30}"} if number % 3 else {},
                charges=[_charge(scope) for scope in ("", team, key)[:charges]],
            )
        )  # fmt: skip
    return events


def _charge(scope: str) -> Charge:
    """A charge to the bucket of `scope`, on one of two leases of it as two data planes have them."""
    return Charge(
        bucket_id=bucket_id("budgets/bench", "", 0, [scope]).bytes,
        lease_id=bucket_id("leases/bench", "", random.Random(scope).randrange(2), [scope]).bytes,
        window_start_ms=0,
        amount_nano_usd=1_000,
    )


async def measure(events: int, teams: int, consumers: int, charges: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        postgres, server = EmbeddedPostgres(Path(folder) / "pg"), EmbeddedNats(Path(folder) / "nats")
        await asyncio.gather(postgres.start(), server.start())
        processes = ConsumerProcesses(postgres.url(), server.url(), Path(folder))
        try:
            await upgrade(postgres.url())
            await _publish(server.url(), make_events(events, teams, charges))
            for _ in range(consumers):
                await processes.start()
            rate = await _rate(postgres.url(), events)
            print(f"{rate:,.0f} events/s, {consumers} consumer(s), {teams} teams, {charges} charges an event")
        finally:
            await processes.stop_all()
            await asyncio.gather(postgres.stop(), server.stop())


async def _publish(url: str, events: list[UsageEvent]) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream(timeout=10)
    await ensure_stream(jetstream, StreamSettings(STREAM_BYTES, 1))
    for message in batches(events, EVENTS_PER_MESSAGE):
        await jetstream.publish(usage_subject("bench"), message, stream=USAGE_STREAM)
    await client.close()


async def _rate(url: str, events: int) -> float:
    """Events per second from _FIRST_EVENTS on, when everything is warm, to the last."""
    connection = await asyncpg.connect(url)
    first_s, first = 0.0, 0
    try:
        while True:
            booked: int = await connection.fetchval("SELECT coalesce(sum(attempts), 0)::bigint FROM usage_rollup_900")
            now_s = time.monotonic()
            if booked >= _FIRST_EVENTS and not first:
                first_s, first = now_s, booked
            if booked >= events:
                return (booked - first) / (now_s - first_s)
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--teams", type=int, default=40)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--charges", type=int, choices=range(4), default=0)
    given = parser.parse_args()
    asyncio.run(measure(given.events, given.teams, given.consumers, given.charges))


if __name__ == "__main__":
    main()
