"""A running admin API and a client that has the token."""

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from tests.integration.transport.admin_server import TOKEN, AdminServer, admin_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AdminServer]:
    async with admin_server() as running:
        yield running


@pytest_asyncio.fixture
async def client(server: AdminServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as session:
        yield session
