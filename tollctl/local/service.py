"""A service of the stack: a child process that becomes ready, is watched, and is stopped in its own way."""

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path

from tollctl.local.errors import LocalError, ServiceFailed
from tollctl.local.logs import quote_last_line
from tollctl.local.process import Child, Command

READY_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.01
_POLL_INTERVAL_MAX_S = 0.05
SETTINGS_EXIT_CODE = 2

StopSteps = tuple[tuple[signal.Signals, float], ...]


class Service(ABC):
    """`stop_steps` are the signals that end it in good order, each with the seconds it is given; SIGKILL comes last.

    The service ends with the thread that spawned it: spawn it from the main thread.
    """

    def __init__(self, name: str, log: Path, stop_steps: StopSteps) -> None:
        self.name = name
        self.log = log
        self._stop_steps = stop_steps
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        return None if self._child is None or self._child.exit_code is not None else self._child.pid

    @property
    def has_wrong_settings(self) -> bool:
        """Whether it ended because of a setting, so that starting it again is of no use."""
        return self._child is not None and self._child.exit_code == SETTINGS_EXIT_CODE

    async def spawn(self) -> None:
        """Start the process unless it runs. Raises LocalError where it cannot even be started."""
        if self.pid is None:
            self._child = Child(await self._prepare())

    async def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Raises ServiceFailed if the process ends first or timeout_s seconds pass."""
        child = self._spawned()
        deadline = time.monotonic() + timeout_s
        interval_s = _POLL_INTERVAL_S
        while not await self._is_ready(child.pid):
            if child.exit_code is not None:
                raise ServiceFailed(
                    f"{self.name} ended with exit code {child.exit_code} before it was ready: "
                    f"{quote_last_line(self.log)}"
                )
            if time.monotonic() >= deadline:
                raise ServiceFailed(f"{self.name} was not ready within {timeout_s:.0f} s: {quote_last_line(self.log)}")
            await asyncio.sleep(interval_s)
            interval_s = min(interval_s * 1.5, _POLL_INTERVAL_MAX_S)

    async def bring_up(self) -> None:
        """Spawn and wait until it is ready; where that fails, nothing is left running. Raises LocalError."""
        await self.spawn()
        try:
            await self.wait_ready()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Wait until the process ends and return its exit code."""
        return await self._spawned().wait()

    async def stop(self) -> None:
        """End the process in good order; does nothing if it does not run."""
        if self._child is not None:
            await self._child.stop(*self._stop_steps)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    def abort(self) -> None:
        """End the process and all that it started as fast as can be."""
        self.kill()

    @abstractmethod
    async def _prepare(self) -> Command:
        """Make everything that the process needs, and say what to run."""

    @abstractmethod
    async def _is_ready(self, pid: int) -> bool:
        """Whether the process with this id serves."""

    def _spawned(self) -> Child:
        if self._child is None:
            raise LocalError(f"{self.name} was not started")
        return self._child
