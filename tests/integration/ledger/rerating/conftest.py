"""Rooms of a control plane on a migrated database with a price book of a few providers."""

from collections.abc import AsyncIterator

import pytest_asyncio

from controlplane.prices.book import ensure_price_book
from tests.integration.controlplane.admin import Admin, open_admin
from tests.integration.ledger.rerating.ledger import build_book


@pytest_asyncio.fixture
async def admin(ledger_url: str) -> AsyncIterator[Admin]:
    async with open_admin(ledger_url) as opened:
        await ensure_price_book(opened.rooms.config, build_book)
        yield opened
