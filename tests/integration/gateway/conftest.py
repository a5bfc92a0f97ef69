"""What tests of the gateway share: the provider that it calls, and the client that calls a test's own gateway."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes.gateway import RunningGateway
from tests.fakes.upstream import ScriptedUpstream


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedUpstream]:
    scripted = ScriptedUpstream()
    await scripted.start()
    yield scripted
    await scripted.stop()


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(gateway.url, headers={"x-api-key": gateway.key}) as session:
        yield session
