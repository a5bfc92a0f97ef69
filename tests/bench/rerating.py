"""`make bench-rerating`: how fast a control plane rates a ledger anew, with Postgres beside it.

python -m tests.bench.rerating [--entries N] [--days N]
"""

import argparse
import asyncio
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controlplane.db.engine import Database
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import LedgerEntry
from controlplane.ledger.keeper import PartitionKeeper
from controlplane.ledger.repository import LedgerRepository, PartitionRepository
from controlplane.migrations import upgrade
from tests.fakes.usage_events import FakeDataPlane, readings
from tests.integration.controlplane.admin import Admin, open_admin
from tests.integration.ledger.rerating.ledger import create, get, post, set_price, work
from tollctl.local.postgres import EmbeddedPostgres
from tollway.resources.book import build_price_book
from tollway.usage.v1.usage_pb2 import METER_CACHE_READ, METER_INPUT, METER_OUTPUT

MODELS = ("gpt-5", "gpt-5-mini", "claude", "echo", "embed")
_BATCH = 6_400
_DAY_US = 86_400_000_000


def make_entries(count: int, first_us: int, days: int) -> Iterator[list[LedgerEntry]]:
    """Calls of 40 teams, 5 models and as many meters as there are calls, evenly over `days` days."""
    chance, plane = random.Random(1), FakeDataPlane(boot_id=5)
    batch = []
    for number in range(count):
        team, model = f"teams/t{int(40 * chance.random() ** 2)}", chance.choice(MODELS)
        meters = {METER_INPUT: chance.randint(1, 4000), METER_CACHE_READ: chance.randint(0, 4000), METER_OUTPUT: 300}
        event = plane.event(
            team=team, requested_model=model, upstream_model=model, meters=readings(meters),
            start_time_us=first_us + number * days * _DAY_US // count, metadata={"app": "search"} if number % 3 else {},
        )  # fmt: skip
        batch.append(entry_of(event))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


async def measure(entries: int, days: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "pg")
        await postgres.start()
        try:
            await upgrade(postgres.url())
            first_us = await _fill(postgres.url(), entries, days)
            async with open_admin(postgres.url()) as admin:
                await admin.rooms.prepare()
                await set_price(admin, "*", "2", "8")
                await _rerate(admin, entries, first_us, days)
        finally:
            await postgres.stop()


async def _fill(url: str, entries: int, days: int) -> int:
    database = Database(url)
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    first_us = int(first.timestamp()) * 1_000_000
    keeper = PartitionKeeper(PartitionRepository(database), lambda: datetime.now(UTC))
    try:
        for batch in make_entries(entries, first_us, days):
            await keeper.make_room(batch)
            await LedgerRepository(database).book(batch, [])
    finally:
        await database.close()
    return first_us


async def _rerate(admin: Admin, entries: int, first_us: int, days: int) -> None:
    book = build_price_book().name
    for title in ("all of it differs", "none of it differs"):
        started_s, started_cpu_s = time.monotonic(), time.process_time()
        run = await create(admin, first_us, first_us + days * _DAY_US, price_book=book)
        await work(admin)
        previewed_s = time.monotonic()
        await post(admin, run.name)
        await work(admin)
        posted_s = time.monotonic()
        done = await get(admin, run.name)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{title}: {entries:,} entries over {days} days, {done.posted.changed_entries:,} adjustments; preview"
            f" {previewed_s - started_s:.1f} s, posting {posted_s - previewed_s:.1f} s,"
            f" {time.process_time() - started_cpu_s:.1f} s of own CPU; peak {peak_mib} MiB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    asyncio.run(measure(given.entries, given.days))


if __name__ == "__main__":
    main()
