"""One stack per test process, and the admin API on it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.stack import Admin, Stack


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack for tests that leave it running."""
    folder = tmp_path_factory.mktemp("stack")
    running = Stack(folder, environment={"TOLLWAY_SIM_TRUTH_LOG": str(folder / "truth.jsonl")})
    await running.start()
    yield running
    assert await running.stop() == 0, running.log


@pytest_asyncio.fixture
async def stack(shared_stack: Stack) -> Stack:
    """The shared stack, with what it says of itself read again."""
    shared_stack.read_info()
    return shared_stack


@pytest_asyncio.fixture
async def admin(stack: Stack) -> AsyncIterator[Admin]:
    api = Admin(stack)
    yield api
    await api.close()
