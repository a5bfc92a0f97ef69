"""Data planes as processes, serving from a manifest file, with the simulated provider and a NATS of their own."""

import asyncio
import json
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from tests.integration.emitter.conftest import make_stream
from tollctl.local.nats import EmbeddedNats
from tollway.kernel.keys import make_virtual_key

_ADDRESS = re.compile(r"(serving node=\S+|metrics) address=(\S+)")
_MANIFESTS = """
{{apiVersion: tollway/v1, kind: Team, metadata: {{name: demo}}, spec: {{}}}}
---
apiVersion: tollway/v1
kind: VirtualKey
metadata: {{name: app, team: demo}}
spec: {{secret: {{ref: "env:TEST_KEY"}}}}
---
apiVersion: tollway/v1
kind: Upstream
metadata: {{name: sim}}
spec: {{provider: sim, base_url: "{base_url}"}}
"""


@dataclass
class DataPlaneProcess:
    """A `dataplane.main` with whatever it wrote to stderr; `urls` are its API and its metrics."""

    process: asyncio.subprocess.Process
    key: str
    api_url: str = ""
    metrics_url: str = ""
    lines: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"authorization": f"Bearer {self.key}"})

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())
            if found := _ADDRESS.search(self.lines[-1]):
                url = f"http://{found[2]}"
                if found[1] == "metrics":
                    self.metrics_url = url
                else:
                    self.api_url = self.api_url or url


async def status_of(url: str) -> int:
    """The status of a GET on a connection of its own; 0 when nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


class Site:
    """What data planes need around them, and the making of them."""

    def __init__(self, folder: Path, nats: EmbeddedNats, sim_url: str) -> None:
        self.nats = nats
        self.sim_url = sim_url
        self.key = make_virtual_key(secrets.randbelow)
        self.spool = folder / "spool"
        self.config = folder / "config.yaml"
        self.config.write_text(_MANIFESTS.format(base_url=sim_url))
        self._started: list[DataPlaneProcess] = []

    def environ(self, **variables: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "TEST_KEY": self.key,
            "TOLLWAY_CONFIG_FILE": str(self.config),
            "TOLLWAY_NATS_URL": self.nats.url(),
            "TOLLWAY_LISTEN": "127.0.0.1:0",
            "TOLLWAY_METRICS_LISTEN": "127.0.0.1:0",
            "TOLLWAY_DRAIN_DELAY_S": "0",
            "TOLLWAY_NODE": "node",
            "TOLLWAY_SPOOL_DIR": str(self.spool),
            **variables,
        }

    async def spawn(self, **variables: str) -> DataPlaneProcess:
        """Start a data plane, ready or not."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dataplane.main", env=self.environ(**variables), stderr=asyncio.subprocess.PIPE
        )
        plane = DataPlaneProcess(process, self.key)
        plane.reading = asyncio.create_task(plane.read_log())
        self._started.append(plane)
        return plane

    async def start(self, **variables: str) -> DataPlaneProcess:
        """Start a data plane and wait until it is ready."""
        plane = await self.spawn(**variables)
        async with asyncio.timeout(30):
            while not plane.metrics_url or await status_of(f"{plane.metrics_url}/readyz") != 200:
                assert plane.process.returncode is None, plane.log
                await asyncio.sleep(0.02)
        return plane

    async def stats(self) -> dict[str, Any]:
        """What the provider says it served."""
        url = self.sim_url.removesuffix("/v1")
        async with aiohttp.ClientSession() as session, session.get(f"{url}/stats") as response:
            stats: dict[str, Any] = json.loads(await response.read())
            return stats

    async def close(self) -> None:
        for plane in self._started:
            if plane.process.returncode is None:
                plane.process.kill()
                await plane.process.wait()
            if plane.reading is not None:
                await plane.reading


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    nats = EmbeddedNats(tmp_path / "nats")
    await nats.start()
    await make_stream(nats.url())
    sim = await asyncio.create_subprocess_exec(sys.executable, "-m", "tollctl.sim", stdout=asyncio.subprocess.PIPE)
    assert sim.stdout is not None
    sim_url = (await sim.stdout.readline()).decode().strip()
    made = Site(tmp_path, nats, f"{sim_url}/v1")
    yield made
    await made.close()
    sim.kill()
    await sim.wait()
    await nats.stop()
