"""A migrated database, and a webhook receiver."""

from collections.abc import AsyncIterator

import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.migrations import upgrade
from tests.integration.alerts.receiver import WebhookReceiver, open_receiver


@pytest_asyncio.fixture
async def alerts_url(database_url: str) -> str:
    """The URL of a database with the current schema."""
    await upgrade(database_url)
    return database_url


@pytest_asyncio.fixture
async def database(alerts_url: str) -> AsyncIterator[Database]:
    database = Database(alerts_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with open_receiver() as opened:
        yield opened
