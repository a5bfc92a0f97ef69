"""Postgres killed under load: what it acknowledged holds, and rates begin empty rather than full."""

import asyncio
import contextlib
from pathlib import Path

from controlplane.errors import Unavailable
from controlplane.migrations import upgrade
from controlplane.quota.sessions.repository import Fenced
from tests.integration.quota.authorities import Authority, Plane, bucket_row, budget, count_drift, held, limits, spell
from tollctl.local.postgres import EmbeddedPostgres
from tollway.config.v1 import resources_pb2 as pb
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_EXHAUSTED, GRANT_RESULT_GRANTED, Grant

BUDGET, REQUESTS = spell(), spell("rateLimits/r", 0)
RULES = limits(pb.Limit(unit=pb.LIMIT_UNIT_REQUESTS, amount=1_000, window_ms=3_600_000))
CAP = 50_000_000


class Caller:
    """A data plane that asks until its stream fails; it counts what it was told that it has."""

    def __init__(self, boot_id: int) -> None:
        self.boot_id = boot_id
        self.generation = 0
        self.grant: Grant | None = None
        self.granted = 0

    async def call(self, authority: Authority, calls: int) -> None:
        told = [] if self.grant is None else [held(BUDGET, self.grant, self.granted)]
        self.generation += 1
        plane = await Plane.connect(authority, *told, boot_id=self.boot_id, generation=self.generation)
        for _ in range(calls):
            lease_id = b"" if self.grant is None else self.grant.lease_id
            grant = await plane.ask(BUDGET, need=1_000, lease_id=lease_id)
            if grant.result == GRANT_RESULT_GRANTED:
                self.grant, self.granted = grant, grant.granted_total


async def test_what_was_granted_is_held_after_a_kill(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    url = await server.start()
    await upgrade(url)
    authority = Authority(url)
    authority.configure(budget(CAP), RULES)
    callers = [Caller(boot_id) for boot_id in (1, 2, 3)]
    try:
        first = await Plane.connect(authority, boot_id=9)
        assert (await first.ask(REQUESTS, need=1_000)).result == GRANT_RESULT_GRANTED
        calling = [asyncio.create_task(caller.call(authority, 10_000)) for caller in callers]
        async with asyncio.timeout(30):
            while not all(caller.granted > 5_000 for caller in callers):
                await asyncio.sleep(0.01)
        server.abort()
        results = await asyncio.gather(*calling, return_exceptions=True)
        assert all(isinstance(result, Unavailable) for result in results)
        await server.stop()
        await server.start()
        for caller in callers:
            await _again(caller, authority)
        row = await bucket_row(url, BUDGET)
        assert row["escrow"] == sum(caller.granted for caller in callers) <= CAP
        assert await count_drift(url) == 0
        late = await Plane.connect(authority, boot_id=10)
        assert (await late.ask(REQUESTS, need=100)).result == GRANT_RESULT_EXHAUSTED
    finally:
        await authority.close()
        await server.stop()


async def _again(caller: Caller, authority: Authority) -> None:
    """Until the database takes it; what it had been granted unseen is free after its Hello."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Unavailable, Fenced):
                return await caller.call(authority, 3)
            await asyncio.sleep(0.1)
