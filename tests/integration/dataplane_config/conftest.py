"""The scripted feed, served."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.dataplane_config.scripted_feed import ScriptedFeed, serving


@pytest.fixture
async def feed() -> AsyncIterator[tuple[ScriptedFeed, str]]:
    """A feed, and its address."""
    scripted = ScriptedFeed()
    async with serving(scripted) as port:
        yield scripted, f"127.0.0.1:{port}"
