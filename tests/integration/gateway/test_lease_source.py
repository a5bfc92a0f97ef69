"""The source of leases ends when it is told to, whatever its stream is at."""

import asyncio
import random

from dataplane.limits.client import LeaseSource, QuotaSettings
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.stream import QuotaClient
from dataplane.snapshot import Secret
from tests.fakes.gateway import FixedSource

ENDS_WITHIN_S = 2.0
TRIES = 100
"""Each met a moment at which Python 3.11's wait_for lost the cancellation once in twenty times."""


async def test_it_ends_also_while_a_connection_is_refused() -> None:
    chance = random.Random(1)
    client = QuotaClient(Secret("plane-token"), "node-1", 7, "test")
    settings = QuotaSettings(("127.0.0.1:9",), client)
    for _ in range(TRIES):
        running = asyncio.create_task(LeaseSource(settings, LeaseDesk(), FixedSource(None)).run())
        await asyncio.sleep(chance.uniform(0, 0.012))
        running.cancel()
        _, pending = await asyncio.wait({running}, timeout=ENDS_WITHIN_S)
        assert not pending
