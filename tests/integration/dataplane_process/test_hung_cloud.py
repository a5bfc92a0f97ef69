"""What a cloud that hangs does to the start and to the end of a data plane: next to nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest_asyncio

from tests.integration.dataplane_process.conftest import DataPlaneProcess, Site, status_of
from tests.integration.emitter.conftest import eventually

_BEDROCK = """
---
apiVersion: tollway/v1
kind: Upstream
metadata: {{name: bedrock}}
spec:
  provider: bedrock
  region: eu-central-1
  options: {{role_arn: "arn:aws:iam::123456789012:role/tollway", web_identity_token_file: "{token}"}}
"""
_CHAT = {"model": "sim/echo", "messages": [{"role": "user", "content": "a"}]}
_END_S = 3.0
"""Less than the time after which the cloud's library gives up."""


@dataclass
class HungCloud:
    """Takes connections, and answers nothing on them until it is aborted."""

    url: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"

    def abort(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)


@pytest_asyncio.fixture
async def cloud() -> AsyncIterator[HungCloud]:
    made = HungCloud()
    await made.start()
    yield made
    made.abort()


async def start(site: Site, cloud: HungCloud, folder: Path) -> DataPlaneProcess:
    """A data plane that serves, while the credential of one of its upstreams hangs."""
    (folder / "token").write_text("the-jwt")
    site.config.write_text(site.config.read_text() + _BEDROCK.format(token=folder / "token"))
    plane = await site.spawn(AWS_ENDPOINT_URL_STS=cloud.url, AWS_EC2_METADATA_DISABLED="true")
    await eventually(lambda: bool(plane.api_url and cloud.writers))
    return plane


async def ready_word(plane: DataPlaneProcess) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.api_url}/readyz") as response:
        status: str = (await response.json())["status"]
        return status


async def test_plane_is_ready_once_its_first_credentials_were_tried_for(
    site: Site, cloud: HungCloud, tmp_path: Path
) -> None:
    plane = await start(site, cloud, tmp_path)
    assert await ready_word(plane) == "waiting for the first credentials"
    assert await status_of(f"{plane.metrics_url}/readyz") == 503
    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=_CHAT) as response:
        assert response.status == 200
    cloud.abort()
    await eventually(lambda: "cannot reach" in plane.log)
    async with asyncio.timeout(_END_S):
        while await ready_word(plane) != "ok":
            await asyncio.sleep(0.02)
    assert await status_of(f"{plane.metrics_url}/readyz") == 200


async def test_cloud_that_hangs_does_not_hold_up_the_end(site: Site, cloud: HungCloud, tmp_path: Path) -> None:
    plane = await start(site, cloud, tmp_path)
    start_s = time.monotonic()
    plane.terminate()
    assert await plane.wait() == 0, plane.log
    assert time.monotonic() - start_s < _END_S
    assert "Traceback" not in plane.log
