"""A whole stack as its user starts it, on free ports: `tollctl up` as a process, and what it says of itself."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

READY_S = 60.0
STOP_S = 30.0


class Stack:
    """`tollctl up` with its data below `folder`; `info` is stack.json as it was when last read."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self._arguments = arguments
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self.info: dict[str, Any] = {}

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text()

    async def start(self) -> None:
        """Runs until `tollway is up` is printed; raises when it ends before."""
        ports = [f"--{name}=0" for name in ("port", "admin-port", "grpc-port", "metrics-port")]
        with (self.folder / "up.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tollctl.main", "up", f"--data-dir={self.data_dir}", *ports, *self._arguments,
                stdout=log, stderr=log, env={**os.environ, **self._environment},
            )  # fmt: skip
        await eventually(self._is_up, READY_S, "the stack to be up")
        self.read_info()

    def read_info(self) -> dict[str, Any]:
        self.info = json.loads((self.data_dir / "stack.json").read_text())
        return self.info

    def kill(self, service: str) -> int:
        """SIGKILLs a service as it runs now; its pid."""
        pid = int(self.read_info()["pids"][service])
        os.kill(pid, signal.SIGKILL)
        return pid

    async def restarted(self, service: str, old_pid: int) -> None:
        """Waits until `service` runs under another pid than `old_pid`."""
        await eventually(lambda: self.read_info()["pids"][service] not in (None, old_pid), 30, f"{service} to restart")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        async with asyncio.timeout(STOP_S):
            return await self._process.wait()

    async def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise AssertionError(f"tollctl up ended with {self._process.returncode}:\n{self.log}")
        return "tollway is up" in self.log


async def eventually(
    holds: Callable[[], bool | Awaitable[bool]], timeout_s: float, what: str, interval_s: float = 0.05
) -> None:
    """Waits until `holds()`; AssertionError naming `what` when it does not within `timeout_s`."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while True:
        held = holds()
        if held if isinstance(held, bool) else await held:
            return
        if asyncio.get_running_loop().time() > deadline_s:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        await asyncio.sleep(interval_s)


class AdminRefused(AssertionError):
    """The admin API answered something else than 200."""

    def __init__(self, status: int, told: object) -> None:
        super().__init__(status, told)
        self.status = status


class Admin:
    """The admin REST API with the stack's own token; methods return the answer's JSON and raise AdminRefused."""

    def __init__(self, stack: Stack) -> None:
        token = stack.info["admin_token"]
        self.session = aiohttp.ClientSession(stack.info["admin_url"], headers={"authorization": f"Bearer {token}"})

    async def close(self) -> None:
        await self.session.close()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, path, json=body) as response:
            answer = await response.json()
            if response.status != 200:
                raise AdminRefused(response.status, (method, path, answer))
            return answer

    async def apply(self, *manifests: dict[str, Any]) -> Any:
        named = [{"apiVersion": "tollway/v1", **manifest} for manifest in manifests]
        return await self.call("POST", "/v1/manifests:apply", {"manifests": named})

    async def create_team(self, team: str) -> str:
        """A team with one key; the key's secret."""
        await self.call("POST", f"/v1/teams?team_id={team}", {})
        return await self.create_key(team, "k")

    async def create_key(self, team: str, key: str, **fields: Any) -> str:
        secret = (await self.call("POST", f"/v1/teams/{team}/keys?key_id={key}", fields))["secret"]
        assert isinstance(secret, str)
        return secret

    async def usage_by_team(self) -> dict[str, dict[str, Any]]:
        rows = (await self.call("GET", "/v1/usage?group_by=team"))["rows"]
        return {row["group"]["team"]: row for row in rows}
