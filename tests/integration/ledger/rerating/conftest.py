"""Rooms of a control plane on a migrated database with a price book of a few providers."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.controlplane.admin import Admin, open_admin


@pytest_asyncio.fixture
async def ledger_url(priced_url: str) -> str:
    return priced_url


@pytest_asyncio.fixture
async def admin(ledger_url: str) -> AsyncIterator[Admin]:
    async with open_admin(ledger_url) as opened:
        yield opened
