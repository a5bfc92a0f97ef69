"""A data directory in a folder that only its owner may enter, and the stack that runs on it, life after life."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.integration.local.running import RunningUp, running_up


class Home:
    """`lives` are all the times that `tollctl up` ran on `data_dir`, the last of them perhaps still."""

    def __init__(self, data_dir: Path, arguments: tuple[str, ...], exits: AsyncExitStack) -> None:
        self.data_dir = data_dir
        self.lives: list[RunningUp] = []
        self._arguments = arguments
        self._exits = exits

    async def running(self) -> RunningUp:
        """The stack, started where it has not been or has ended."""
        if not self.lives or self.lives[-1].process.returncode is not None:
            up = await self._exits.enter_async_context(running_up(self.data_dir, *self._arguments))
            self.lives.append(up)
            await up.wait_up()
        return self.lives[-1]


@asynccontextmanager
async def open_home(folder: Path, *arguments: str) -> AsyncIterator[Home]:
    """Nothing runs at first, and nothing is left running. `arguments` are those of every life."""
    private = folder / "private"
    private.mkdir(0o700)
    async with AsyncExitStack() as exits:
        yield Home(private / "state", arguments, exits)
