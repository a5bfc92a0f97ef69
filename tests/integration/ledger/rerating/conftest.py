"""Rooms of a control plane on a migrated database with the built-in price book."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.controlplane.admin import Admin, open_admin


@pytest_asyncio.fixture
async def admin(ledger_url: str) -> AsyncIterator[Admin]:
    async with open_admin(ledger_url) as opened:
        await opened.rooms.prepare()
        yield opened
