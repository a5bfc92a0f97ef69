"""What tests of the gateway share: the provider that it calls."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.upstream import ScriptedUpstream


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedUpstream]:
    scripted = ScriptedUpstream()
    await scripted.start()
    yield scripted
    await scripted.stop()
