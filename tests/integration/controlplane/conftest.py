"""A migrated database of its own for every test, and rooms on it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.controlplane.admin import Admin, open_admin


@pytest_asyncio.fixture
async def config_url(migrated_url: str) -> str:
    return migrated_url


@pytest_asyncio.fixture
async def environ() -> dict[str, str]:
    """What `env:` references of virtual keys read."""
    return {}


@pytest_asyncio.fixture
async def admin(config_url: str, environ: dict[str, str]) -> AsyncIterator[Admin]:
    async with open_admin(config_url, environ=environ) as opened:
        yield opened
