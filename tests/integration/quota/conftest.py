"""A migrated database, and two authorities on it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from controlplane.db.engine import Database
from tests.integration.quota.authorities import Authority


@pytest_asyncio.fixture
async def ledger_url(migrated_url: str) -> str:
    return migrated_url


@pytest_asyncio.fixture
async def database(ledger_url: str) -> AsyncIterator[Database]:
    database = Database(ledger_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def authority(ledger_url: str) -> AsyncIterator[Authority]:
    authority = Authority(ledger_url)
    yield authority
    await authority.close()


@pytest_asyncio.fixture
async def other(ledger_url: str, authority: Authority) -> AsyncIterator[Authority]:
    """A second control plane on the same database, with the same configuration."""
    other = Authority(ledger_url, authority.resources)
    yield other
    await other.close()
