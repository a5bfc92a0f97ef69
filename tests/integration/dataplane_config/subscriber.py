"""A data plane's config side, as its composition root builds it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dataplane.config.applier import ConfigApplier
from dataplane.config.endpoints import FeedTls
from dataplane.config.grpc_source import FeedSettings, GrpcSource
from dataplane.config.holder import SnapshotHolder
from dataplane.config.session import FeedClient, UsageCustody, UsageProgress
from dataplane.snapshot import Secret
from tests.integration.dataplane_config.scripted_feed import TOKEN


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A running source and what it feeds."""

    holder: SnapshotHolder
    applier: ConfigApplier
    task: asyncio.Task[None]


class NoUsage:
    """A process that has no usage to be acknowledged."""

    def progress(self) -> list[UsageProgress]:
        return []

    def acknowledge(self, boot_id: int, through: int, missing: Iterable[tuple[int, int]]) -> None:
        raise AssertionError("nothing was told, so nothing can be acknowledged")

    def complete(self, boot_id: int) -> None:
        raise AssertionError("nothing was told, so nothing can be complete")


@asynccontextmanager
async def subscribing(
    *addresses: str,
    tls: FeedTls | None = None,
    heartbeat_timeout_s: float = 10.0,
    behind_grace_s: float = 30.0,
    usage: UsageCustody | None = None,
) -> AsyncIterator[Subscriber]:
    """A source that follows `addresses`; it must still run at the end."""
    holder = SnapshotHolder(time.monotonic)
    applier = ConfigApplier(holder, {})
    client = FeedClient(Secret(TOKEN), "node-1", 7, "0.0.1", usage or NoUsage(), heartbeat_timeout_s)
    source = GrpcSource(FeedSettings(addresses, client, tls, behind_grace_s), applier, holder)
    task = asyncio.create_task(source.run())
    try:
        yield Subscriber(holder, applier, task)
        assert not task.done(), "the source never ends by itself"
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
