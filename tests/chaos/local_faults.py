"""What can go wrong with the services of a cluster."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import nats
from nats.js.errors import NotFoundError

from tests.chaos.cluster import Cluster
from tests.chaos.site import Fault
from tollway.kernel.subjects import USAGE_STREAM


def cluster_faults(cluster: Cluster) -> list[Fault]:
    """Kills and pauses of every service but the provider, and a stream that is wiped."""
    found = []
    for name in cluster.services:
        if name != "sim":
            found += [Fault(f"kill {name}", _Kill(cluster, name)), Fault(f"pause {name}", _Pause(cluster, name))]
    return [*found, Fault("wipe the stream", lambda hold_s: wipe_stream(cluster))]


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
