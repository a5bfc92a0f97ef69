"""`tollctl up` as a process of its own."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[3]
FREE_PORTS = ("--port", "0", "--admin-port", "0", "--grpc-port", "0", "--metrics-port", "0")
IS_UP = "tollway is up"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0


class RunningUp:
    """The process and all that it has printed; `data_dir` is where its state is."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.lines: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def stack(self) -> Any:
        """What stack.json says now."""
        return json.loads((self.data_dir / "stack.json").read_text())

    @property
    def curl(self) -> list[str]:
        """The lines of the printed curl."""
        first = next(index for index, line in enumerate(self.lines) if line.startswith("curl "))
        last = next(index for index in range(first, len(self.lines)) if not self.lines[index].endswith("\\"))
        return self.lines[first : last + 1]

    async def wait_up(self) -> float:
        """Read until all is ready; returns the seconds that took. Fails with what was printed where it ends first."""
        began = time.monotonic()
        async with asyncio.timeout(_START_TIMEOUT_S):
            await self._read_until(lambda line: line == IS_UP)
        assert IS_UP in self.lines, self.text
        return time.monotonic() - began

    async def wait_line(self, beginning: str) -> None:
        """Read until a line begins so."""
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await self._read_until(lambda line: line.startswith(beginning))
        assert self.lines[-1].startswith(beginning), self.text

    async def wait_end(self) -> int:
        """Read until it ends and return its exit code."""
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await self._read_until(lambda line: False)
            return await self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.wait_end()

    async def _read_until(self, is_wanted: Callable[[str], bool]) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))
            if is_wanted(self.lines[-1]):
                return


@asynccontextmanager
async def running_up(
    data_dir: Path,
    *arguments: str,
    python: str = sys.executable,
    uid: int | None = None,
    ports: tuple[str, ...] = FREE_PORTS,
) -> AsyncIterator[RunningUp]:
    """Start it on free ports, and see to it that nothing of it is left."""
    packages = [entry for entry in sys.path if entry.endswith("site-packages")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLWAY_", "OPENAI_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), *packages])}
    if uid is not None:
        environment["HOME"] = str(data_dir.parent)
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", "tollctl.main", "up", "--data-dir", str(data_dir), *ports, *arguments),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    try:
        yield RunningUp(process, data_dir)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def pids_of(stack: Any) -> list[int]:
    """The process ids that stack.json tells."""
    return [pid for pid in stack["pids"].values() if pid is not None]


async def wait_gone(pids: list[int], timeout_s: float = 10.0) -> None:
    """Fails where one of the processes still runs after timeout_s seconds."""
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"still running: {left}"
        await asyncio.sleep(0.02)


def descend(pid: int) -> list[int]:
    """All processes below pid, itself not."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in listed for one in (int(child), *descend(int(child)))]


async def refusal_of(up: RunningUp) -> str:
    """What it said before it ended in error, which must be one line."""
    began = time.monotonic()
    assert await up.wait_end() == 1
    assert time.monotonic() - began < 15
    (line,) = [line for line in up.lines if line.startswith("tollctl up:")]
    assert up.lines[-1] == line
    return line


async def call_demo(stack: Any, model: str = "sim/echo") -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "one two"}]}
    headers = {"authorization": f"Bearer {stack['demo_key']}"}
    url = f"{stack['openai_base_url']}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()
