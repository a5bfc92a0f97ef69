"""A ledger of generated calls, its admin methods, prices to rate by, and what all of it must add up to."""

import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.db.engine import Database
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import ROLLUP_SUMS, LedgerEntry
from controlplane.ledger.repository import LedgerRepository
from controlplane.ledger.rollups import keyed, sums_of
from controlplane.ledger.tables import ledger_entry
from tests.fakes.usage_events import FakeDataPlane, readings
from tests.integration.controlplane.admin import Admin, manifest
from tests.integration.few_prices import BOOK
from tollway.admin.v1 import rerating_pb2 as admin_pb2
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse
from tollway.kernel.usage import SettlementState
from tollway.usage.v1.usage_pb2 import METER_INPUT, METER_OUTPUT, UsageEvent

NOON_US = 1_795_262_400_000_000
"""2026-11-21T12:00Z."""
DAY_US = 86_400_000_000
SERVICE = "PriceReratingService"
MODELS = ("echo", "lorem-5", "unknown-1")
_STATES = (1, 1, 1, 2, 3, 4, 5, 6, 7)


def random_call(plane: FakeDataPlane, chance: random.Random, start_time_us: int) -> UsageEvent:
    """An attempt as some data plane may have priced it: rightly, wrongly, or not at all."""
    attempt, state, model = chance.randint(0, 2), chance.choice(_STATES), chance.choice(MODELS)
    if attempt == 0:
        state = int(SettlementState.NOT_BILLED)
    is_used = state not in (SettlementState.CACHED, SettlementState.NOT_BILLED)
    basis = {4: 1, 5: 2}.get(state, state) if is_used else 0
    return plane.event(
        attempt=attempt,
        final=attempt == 0 or chance.random() < 0.7,
        requested_model=f"sim/{model}",
        provider="openai" if model == "unknown-1" else "sim",
        upstream_model=model,
        start_time_us=start_time_us,
        end_time_us=start_time_us + chance.randint(10**3, 10**7),
        status=chance.choice([200, 200, 500]),
        metadata={"app": chance.choice("xy")} if chance.random() < 0.5 else {},
        meters=readings({METER_INPUT: chance.randint(0, 900), METER_OUTPUT: chance.randint(1, 900)}) if is_used else [],
        state=state,
        basis=basis,
        cost_nano_usd=chance.randint(0, 10**6) if state in (1, 2, 3) else 0,
    )


def random_calls(count: int, *, seed: int = 1, first_us: int = NOON_US, span_us: int = DAY_US) -> list[LedgerEntry]:
    chance, plane = random.Random(seed), FakeDataPlane(boot_id=seed)
    times = sorted(first_us + chance.randint(0, span_us - 1) for _ in range(count))
    return [entry_of(random_call(plane, chance, time)) for time in times]


async def book(database: Database, entries: Sequence[LedgerEntry]) -> None:
    await LedgerRepository(database).book(entries, [])


async def set_price(admin: Admin, model: str, input_usd: str, output_usd: str = "0") -> None:
    """An admin's price of `model` at every provider, in USD per million tokens."""
    rates = [{"meter": "input", "price_usd": input_usd}, {"meter": "output", "price_usd": output_usd}]
    name = f"p-{model.replace('*', 'any')}"
    price = manifest("Price", name, {"model": model, "rates": rates})
    await admin.call("ManifestService/ApplyManifests", ApplyManifestsRequest(manifests=[price]), ApplyManifestsResponse)


def stamp(time_us: int) -> Timestamp:
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)


async def create(
    admin: Admin, first_us: int = NOON_US, end_us: int = NOON_US + DAY_US, **fields: Any
) -> admin_pb2.ReratingRun:
    """Of the book of a few providers, unless `price_book` names another one."""
    fields = {"price_book": BOOK, **fields}
    run = admin_pb2.ReratingRun(start_time=stamp(first_us), end_time=stamp(end_us), **fields)
    request = admin_pb2.CreateReratingRunRequest(rerating_run=run)
    return await admin.call(f"{SERVICE}/CreateReratingRun", request, admin_pb2.ReratingRun)


async def get(admin: Admin, name: str) -> admin_pb2.ReratingRun:
    return await admin.call(
        f"{SERVICE}/GetReratingRun", admin_pb2.GetReratingRunRequest(name=name), admin_pb2.ReratingRun
    )


async def post(admin: Admin, name: str, *, allow_unpriced: bool = True) -> admin_pb2.ReratingRun:
    request = admin_pb2.PostReratingRunRequest(name=name, allow_unpriced=allow_unpriced)
    return await admin.call(f"{SERVICE}/PostReratingRun", request, admin_pb2.ReratingRun)


async def differences(admin: Admin, name: str, *, posted: bool) -> list[admin_pb2.ReratingDifference]:
    request = admin_pb2.ListReratingDifferencesRequest(parent=name, posted=posted, page_size=500)
    answer = await admin.call(f"{SERVICE}/ListReratingDifferences", request, admin_pb2.ListReratingDifferencesResponse)
    return list(answer.differences)


async def work(admin: Admin) -> None:
    """Does all that there is to do."""
    while await admin.rooms.rerating.work():
        pass


async def preview(admin: Admin, **fields: Any) -> admin_pb2.ReratingRun:
    run = await create(admin, **fields)
    await work(admin)
    return await get(admin, run.name)


async def rerate(admin: Admin, **fields: Any) -> admin_pb2.ReratingRun:
    """A run that has posted."""
    run = await preview(admin, **fields)
    await post(admin, run.name)
    await work(admin)
    return await get(admin, run.name)


async def sums_are_of_entries(database: Database) -> bool:
    """Whether what is kept is what the entries add up to by the definition of rollups."""
    fresh = sums_of(keyed(ledger_entry).subquery("keyed"))
    async with database.transaction() as connection:
        recomputed = {(r["slot"], r["group_id"]): r for r in map(dict, (await connection.execute(fresh)).mappings())}
        rows = await _fetch(connection, "SELECT * FROM usage_rollup WHERE span_s = 900")
    kept = {(r["slot"], r["group_id"]): r for r in rows}
    return kept == recomputed and bool(kept)


async def _fetch(connection: Any, statement: str) -> list[dict[str, Any]]:
    return [dict(row) for row in (await connection.exec_driver_sql(statement)).mappings()]


async def total_sums(url: str, where: str = "true") -> Counter[str]:
    """ROLLUP_SUMS over all groups and slots."""
    columns = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in ROLLUP_SUMS)
    row = await fetch_row(url, f"SELECT {columns} FROM usage_rollup WHERE span_s = 900 AND {where}")
    return Counter({name: number for name, number in row.items() if number})


async def fetch_row(url: str, statement: str, *arguments: Any) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    try:
        return dict(await connection.fetchrow(statement, *arguments))
    finally:
        await connection.close()


async def adjustments(url: str) -> list[dict[str, Any]]:
    """All adjustments in order of their id."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT * FROM ledger_entry WHERE adjusts IS NOT NULL ORDER BY event_id")
        return [dict(row) for row in rows]
    finally:
        await connection.close()


def run_uuid(run: admin_pb2.ReratingRun) -> uuid.UUID:
    return uuid.UUID(run.name.rpartition("/")[2])


@asynccontextmanager
async def held(url: str, statement: str) -> AsyncIterator[None]:
    """Runs `statement` in a transaction that stays open for the block."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
        yield
    finally:
        await transaction.rollback()
        await connection.close()
