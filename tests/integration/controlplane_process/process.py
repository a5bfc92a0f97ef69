"""Control planes as processes, with whatever they wrote to stderr."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

ADMIN_TOKEN = "twa_canary_0123456789abcdef"
PLANE_TOKEN = "twp_canary_0123456789abcdef"
SECRETS = {
    "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN,
    "TOLLWAY_PLANE_TOKEN": PLANE_TOKEN,
    "TOLLWAY_ENCRYPTION_KEY": "encryption-canary-0123456789abcdef",
    "TOLLWAY_KEY_PEPPER": "pepper-canary-0123456789abcdefghij",
}
READY_S = 30.0
STOP_S = 20.0
_LISTENING = re.compile(r"listening admin=(\S+) grpc=(\S+) transport=\S+ metrics=(\S+)")


@dataclass
class ControlPlaneProcess:
    """One `controlplane.main`; the addresses are host:port and known once it listens."""

    process: asyncio.subprocess.Process
    admin: str = ""
    grpc: str = ""
    metrics: str = ""
    lines: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def session(self, token: str = ADMIN_TOKEN) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(f"http://{self.admin}", headers={"Authorization": f"Bearer {token}"})

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one admin call."""
        async with self.session() as session, session.request(method, path, json=body) as response:
            return response.status, await response.json()

    async def readiness(self) -> tuple[int, str]:
        """Status and text of /readyz."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.metrics}/readyz") as response:
            return response.status, await response.text()

    async def wait_listening(self) -> None:
        await eventually(lambda: bool(self.metrics) or self.process.returncode is not None, READY_S)
        assert self.metrics, self.log

    async def wait_ready(self) -> None:
        await self.wait_listening()

        async def is_ready() -> bool:
            return (await self.readiness())[0] == 200

        await eventually(is_ready, READY_S)

    async def ended(self) -> int:
        """The exit code, once everything that was written has been read."""
        async with asyncio.timeout(STOP_S):
            code = await self.process.wait()
            if self.reading is not None:
                await self.reading
        return code

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await self.ended()

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())
            if found := _LISTENING.search(self.lines[-1]):
                self.admin, self.grpc, self.metrics = found[1], found[2], found[3]


class Site:
    """Starts control planes on one database and ends them all."""

    def __init__(self, database_url: str) -> None:
        self.environ = {
            "PATH": os.environ["PATH"],
            "TOLLWAY_DATABASE_URL": database_url,
            "TOLLWAY_ADMIN_LISTEN": "127.0.0.1:0",
            "TOLLWAY_GRPC_LISTEN": "127.0.0.1:0",
            "TOLLWAY_METRICS_LISTEN": "127.0.0.1:0",
            "TOLLWAY_DRAIN_DELAY_S": "0",
            **SECRETS,
        }
        self._started: list[ControlPlaneProcess] = []

    async def migrate(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controlplane.migrate_main", env=self.environ, stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0

    async def spawn(self, *arguments: str, **variables: str) -> ControlPlaneProcess:
        """A control plane, listening or not; a variable set to "" counts as unset."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "controlplane.main",
            *arguments,
            env=self.environ | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        plane = ControlPlaneProcess(process)
        plane.reading = asyncio.create_task(plane.read_log())
        self._started.append(plane)
        return plane

    async def start(self, **variables: str) -> ControlPlaneProcess:
        plane = await self.spawn(**variables)
        await plane.wait_ready()
        return plane

    async def close(self) -> None:
        for plane in self._started:
            if plane.process.returncode is None:
                plane.process.kill()
            await plane.ended()


async def eventually(holds: Callable[[], bool | Awaitable[bool]], timeout_s: float, interval_s: float = 0.05) -> None:
    """Waits until `holds()`; TimeoutError when it does not within `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(interval_s)
