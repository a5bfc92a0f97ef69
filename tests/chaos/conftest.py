"""One cluster for all scenarios."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.cluster import Cluster
from tests.chaos.local_site import running_cluster


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with running_cluster(Cluster(tmp_path_factory.mktemp("chaos"))) as running:
        yield running
