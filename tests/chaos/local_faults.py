"""What can go wrong with the services of a cluster."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import nats
from nats.js.errors import NotFoundError

from tests.chaos.cluster import STREAM_MAX_BYTES, Cluster
from tests.chaos.site import Fault
from tollway.kernel.subjects import USAGE_STREAM


def cluster_faults(cluster: Cluster) -> list[Fault]:
    """Kills and pauses of every service but the provider, and a stream that is wiped or full."""
    found = []
    for name in cluster.services:
        if name != "sim":
            found += [Fault(f"kill {name}", _Kill(cluster, name)), Fault(f"pause {name}", _Pause(cluster, name))]
    wipe = Fault("wipe the stream", lambda hold_s: wipe_stream(cluster))
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
    """Delete the usage stream with all that is in it, if it is there."""
    client = await nats.connect(cluster.nats_url)
    try:
        with suppress(NotFoundError):
            await client.jetstream().delete_stream(USAGE_STREAM)
    finally:
        await client.close()


async def shrink_stream(cluster: Cluster) -> None:
    """To what it holds, so that it takes nothing more; a consumer that starts gives it its size back."""
    await _resize(cluster, 0)


async def _fill(cluster: Cluster, hold_s: float) -> None:
    await _resize(cluster, 0)
    await asyncio.sleep(hold_s)
    await _resize(cluster, STREAM_MAX_BYTES)


async def _resize(cluster: Cluster, max_bytes: int) -> None:
    """The stream, if it is there, to `max_bytes`, or to what it holds if that is more."""
    client = await nats.connect(cluster.nats_url)
    try:
        with suppress(NotFoundError):
            info = await client.jetstream().stream_info(USAGE_STREAM)
            info.config.max_bytes = max(1, max_bytes, info.state.bytes)
            await client.jetstream().update_stream(info.config)
    finally:
        await client.close()


async def waiting_messages(cluster: Cluster) -> int:
    """How many messages the usage stream holds. Raises NatsError."""
    client = await nats.connect(cluster.nats_url, allow_reconnect=False, connect_timeout=2)
    try:
        return int((await client.jetstream().stream_info(USAGE_STREAM)).state.messages)
    finally:
        await client.close()


async def wait_all_ready(cluster: Cluster) -> None:
    """Until every service that there is runs and serves. Raises LocalError."""
    for name, service in cluster.services.items():
        cluster.resume(name)
        await service.spawn()
        await service.wait_ready()
