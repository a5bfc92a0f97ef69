"""A fresh database, empty or with few prices, and control planes on it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.controlplane_process.process import Site


@pytest_asyncio.fixture
async def empty_site(database_url: str) -> AsyncIterator[Site]:
    site = Site(database_url)
    yield site
    await site.close()


@pytest_asyncio.fixture
async def site(priced_url: str) -> AsyncIterator[Site]:
    site = Site(priced_url)
    yield site
    await site.close()
