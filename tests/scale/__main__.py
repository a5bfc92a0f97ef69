"""`make scale`: how long reports take over a month of entries. `make scale-verify`: are sums right after corrections?

python -m tests.scale [--entries N] [--days N] [--database postgresql://...] [--verify]
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from controlplane.db.engine import Database
from controlplane.ledger.folding.folder import DayFolder
from controlplane.ledger.folding.repository import FoldRepository
from controlplane.migrations import upgrade
from tests.scale.corrections import correct_and_verify
from tests.scale.entries import Shape, make_entries
from tests.scale.reports import time_reports
from tollctl.local.postgres import EmbeddedPostgres

FIRST = date(2026, 10, 1)
_TABLES = text(
    "SELECT coalesce(i.inhparent, c.oid)::regclass::text AS name, sum(c.reltuples)::bigint AS entries,"
    " pg_size_pretty(sum(pg_total_relation_size(c.oid))) AS size FROM pg_class c"
    " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relkind = 'r' AND c.relname ~ '^(ledger_entry|usage_)'"
    " GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC LIMIT 6"
)


async def measure(url: str, shape: Shape) -> None:
    patient, prompt = Database(url, statement_timeout_s=3_600), Database(url)
    try:
        begun_s = time.monotonic()
        made = 0
        async for made in make_entries(patient, shape):
            print(f"\r{made:,} entries", end="", flush=True)
        made_s = time.monotonic()
        print(f" of {shape.days} days made in {made_s - begun_s:.0f} s")
        after = datetime(shape.end().year, shape.end().month, shape.end().day, tzinfo=UTC) + timedelta(hours=2)
        folded = await DayFolder(FoldRepository(patient), lambda: after).fold_all()
        print(f"{folded} days folded in {time.monotonic() - made_s:.0f} s")
        await _analyze(patient)
        print(f"{'report':32}{'rows':>7}{'first s':>9}{'again s':>9}")
        async for timing in time_reports(prompt, shape):
            print(f"{timing.report:32}{timing.rows:>7}{timing.first_s:>9.3f}{timing.second_s:>9.3f}", flush=True)
    finally:
        await patient.close()
        await prompt.close()


async def _analyze(database: Database) -> None:
    """As autovacuum would have by then."""
    async with database.transaction() as connection:
        for table in ("usage_group", "usage_rollup", "usage_latency", "usage_marginal", "usage_latency_marginal"):
            await connection.execute(text(f"ANALYZE {table}"))
        await connection.execute(text("ANALYZE ledger_entry"))
        for row in await connection.execute(_TABLES):
            print(f"{row.name:28}{row.entries:>12,} rows {row.size:>10}")


@asynccontextmanager
async def _own_database() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="tollway-scale-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "pg")
        await postgres.start()
        try:
            yield postgres.url()
        finally:
            await postgres.stop()


async def run(given: argparse.Namespace) -> bool:
    """Whether nothing drifts, as far as that was to be found out."""
    shape = Shape(given.entries, FIRST, given.days)
    if given.database:
        return await _run_on(given.database, shape, verify=given.verify)
    async with _own_database() as url:
        return await _run_on(url, shape, verify=given.verify)


async def _run_on(url: str, shape: Shape, *, verify: bool) -> bool:
    await upgrade(url)
    await measure(url, shape)
    return await correct_and_verify(url, shape) if verify else True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--database", default="", help="an empty database to fill and keep, instead of a temporary one")
    parser.add_argument("--verify", action="store_true", help="then rate anew, detach a day, and compare all sums")
    raise SystemExit(0 if asyncio.run(run(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
