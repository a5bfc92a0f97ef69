"""A migrated database, and a webhook receiver."""

from collections.abc import AsyncIterator

import pytest_asyncio

from controlplane.db.engine import Database
from tests.integration.alerts.receiver import WebhookReceiver, open_receiver


@pytest_asyncio.fixture
async def alerts_url(migrated_url: str) -> str:
    """The URL of a database with the current schema."""
    return migrated_url


@pytest_asyncio.fixture
async def database(alerts_url: str) -> AsyncIterator[Database]:
    database = Database(alerts_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with open_receiver() as opened:
        yield opened
