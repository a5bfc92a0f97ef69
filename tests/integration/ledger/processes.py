"""Consumers as processes of their own, which tests may kill."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.integration.ledger.waiting import wait_until
from tollctl.local.nats import EmbeddedNats
from tollctl.local.ports import find_free_port
from tollctl.local.postgres import EmbeddedPostgres


@dataclass(slots=True)
class ConsumerProcess:
    process: asyncio.subprocess.Process
    metrics_port: int

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def read(self, path: str) -> tuple[int, str]:
        """Status and body of a path of the metrics listener; 0 while nothing listens."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.metrics_port}{path}") as response,
            ):
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def is_unready(self) -> bool:
        return (await self.read("/readyz"))[0] == 503

    async def is_ready(self) -> bool:
        return (await self.read("/readyz"))[0] == 200


@dataclass(slots=True)
class ConsumerProcesses:
    database_url: str
    nats_url: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _all: list[ConsumerProcess] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "consumer.log"

    async def start(self, *, wait: bool = True) -> ConsumerProcess:
        port = find_free_port()
        environment = {
            **os.environ,
            "TOLLWAY_DATABASE_URL": self.database_url,
            "TOLLWAY_NATS_URL": self.nats_url,
            "TOLLWAY_METRICS_LISTEN": f"127.0.0.1:{port}",
            **self.environment,
        }
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "controlplane.consumer_main", env=environment, stdout=log, stderr=log
            )
        consumer = ConsumerProcess(process, port)
        self._all.append(consumer)
        if wait:
            await wait_until(consumer.is_ready, timeout_s=30)
        return consumer

    async def stop_all(self) -> None:
        for consumer in self._all:
            await consumer.kill()


async def kill_server(server: EmbeddedNats | EmbeddedPostgres) -> None:
    """SIGKILL; `server` may be started again."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()
