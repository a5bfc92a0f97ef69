"""A migrated database, a NATS server whose usage stream is the test's own, and consumers as real processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest_asyncio
from nats.aio.client import Client

from controlplane.db.engine import Database
from tests.integration.ledger.processes import ConsumerProcesses
from tollctl.local.nats import EmbeddedNats


@pytest_asyncio.fixture
async def ledger_url(migrated_url: str) -> str:
    return migrated_url


@pytest_asyncio.fixture
async def database(ledger_url: str) -> AsyncIterator[Database]:
    database = Database(ledger_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def usage_nats(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A server of this test alone: the usage stream has one name everywhere."""
    server = EmbeddedNats(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def client(usage_nats: EmbeddedNats) -> AsyncIterator[Client]:
    client = await nats.connect(usage_nats.url())
    yield client
    await client.close()


@pytest_asyncio.fixture
async def consumers(ledger_url: str, usage_nats: EmbeddedNats, tmp_path: Path) -> AsyncIterator[ConsumerProcesses]:
    consumers = ConsumerProcesses(ledger_url, usage_nats.url(), tmp_path)
    yield consumers
    await consumers.stop_all()
