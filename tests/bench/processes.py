"""Processes of the bench: started pinned, asked for their CPU time and memory, ended by pid."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_START_S = 30.0


class PinnedProcess:
    """A Python module running on one processor."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(
        cls, cpu: int, *arguments: str, environment: dict[str, str] | None = None, port: int = 0
    ) -> "PinnedProcess":
        """Runs `python ARGUMENTS`; unless `port` is given, waits for the process to print the one it listens on."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdout=asyncio.subprocess.PIPE if not port else asyncio.subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        os.sched_setaffinity(process.pid, {cpu})
        if not port:
            assert process.stdout is not None
            async with asyncio.timeout(_START_S):
                port = int(await process.stdout.readline())
        return cls(process, port)

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    def cpu_s(self) -> float:
        """User and system time of all threads so far, in seconds."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * _PAGE_BYTES / 2**20

    async def stop(self) -> None:
        if self.is_running:
            self._process.terminate()
        await self._process.wait()


async def run_load(cpu: int, *arguments: str) -> dict[str, Any]:
    """Runs the load generator to its end; what it measured."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", *arguments, stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, {cpu})
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator failed with {process.returncode}")
    measured: dict[str, Any] = json.loads(output)
    return measured
