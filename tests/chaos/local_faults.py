"""What can go wrong with the services of a cluster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from tests.chaos.cluster import STREAM_MAX_BYTES, Cluster
from tests.chaos.site import Fault
from tollway.kernel.subjects import USAGE_STREAM

_PATIENCE_S = 10.0
_ANSWER_S = 5.0
STREAM_AWAY = (NatsError, OSError, TimeoutError)
"""What asking NATS about the stream raises while it does not answer."""


def cluster_faults(cluster: Cluster) -> list[Fault]:
    """Kills and pauses of every service but the provider, and a stream that is wiped or full."""
    found = []
    for name in cluster.services:
        if name != "sim":
            found += [Fault(f"kill {name}", _Kill(cluster, name)), Fault(f"pause {name}", _Pause(cluster, name))]
    wipe = Fault("wipe the stream", lambda hold_s: _wipe(cluster))
    return [*found, wipe, Fault("fill the stream", lambda hold_s: _fill(cluster, hold_s))]


@dataclass(frozen=True, slots=True)
class _Kill:
    cluster: Cluster
    name: str

    async def __call__(self, hold_s: float) -> None:
        await self.cluster.kill(self.name)
        await asyncio.sleep(hold_s)
        await self.cluster.respawn(self.name)


@dataclass(frozen=True, slots=True)
class _Pause:
    cluster: Cluster
    name: str

    async def __call__(self, hold_s: float) -> None:
        self.cluster.pause(self.name)
        try:
            await asyncio.sleep(hold_s)
        finally:
            self.cluster.resume(self.name)


async def wipe_stream(cluster: Cluster) -> None:
    """Delete the usage stream with all that is in it, if it is there. Raises NatsError, OSError or TimeoutError."""
    async with _jetstream(cluster) as jetstream:
        with suppress(NotFoundError):
            await jetstream.delete_stream(USAGE_STREAM)


async def shrink_stream(cluster: Cluster) -> None:
    """To what it holds, so that it takes nothing more; a consumer that starts gives it its size back."""
    await _resize(cluster, 0)


async def grow_stream(cluster: Cluster) -> None:
    """To the size that consumers give it."""
    await _resize(cluster, STREAM_MAX_BYTES)


async def _wipe(cluster: Cluster) -> None:
    with suppress(*STREAM_AWAY):
        await wipe_stream(cluster)


async def _fill(cluster: Cluster, hold_s: float) -> None:
    with suppress(*STREAM_AWAY):
        await shrink_stream(cluster)
        await asyncio.sleep(hold_s)
        await grow_stream(cluster)


async def _resize(cluster: Cluster, max_bytes: int) -> None:
    """The stream, if it is there, to `max_bytes`, or to what it holds if that is more."""
    async with _jetstream(cluster) as jetstream:
        with suppress(NotFoundError):
            info = await jetstream.stream_info(USAGE_STREAM)
            info.config.max_bytes = max(1, max_bytes, info.state.bytes)
            await jetstream.update_stream(info.config)


async def waiting_messages(cluster: Cluster) -> int:
    """How many messages the usage stream holds. Raises NatsError, OSError or TimeoutError."""
    async with _jetstream(cluster) as jetstream:
        return int((await jetstream.stream_info(USAGE_STREAM)).state.messages)


@asynccontextmanager
async def _jetstream(cluster: Cluster) -> AsyncIterator[JetStreamContext]:
    async with asyncio.timeout(_PATIENCE_S):
        client = await nats.connect(
            cluster.nats_url,
            error_cb=_pass_over,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
        )
    try:
        yield client.jetstream(timeout=_ANSWER_S)
    finally:
        await client.close()


async def _pass_over(error: Exception) -> None:
    """What it tells is raised, too."""


async def wait_all_ready(cluster: Cluster) -> None:
    """Until every service that there is runs and serves. Raises LocalError."""
    for name, service in cluster.services.items():
        cluster.resume(name)
        await cluster.respawn(name)
        await service.wait_ready()
