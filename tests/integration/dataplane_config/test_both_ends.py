"""The data plane's end of the feed and the control plane's, together; the control plane's state is given, not read."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import pytest

from controlplane.db.engine import Database
from controlplane.discovery.feed import ConfigFeed
from controlplane.discovery.fleet import Fleet
from controlplane.discovery.projection import Projected
from controlplane.discovery.server import FeedServer
from controlplane.discovery.state import ConfigState
from tests.integration.dataplane_config.scripted_feed import TOKEN, until
from tests.integration.dataplane_config.subscriber import Subscriber, subscribing
from tests.unit.dataplane.config.machine import digest, key, pepper, route, upstream
from tollway.config.v1.resources_pb2 import Resource


class Plane:
    """A control plane's feed that says what it is told."""

    def __init__(self) -> None:
        database = Database("postgresql://nobody@127.0.0.1:1/nothing")
        self.feed = ConfigFeed(database, self._read)
        self.fleet = Fleet(database, lambda: datetime.now(UTC))
        self.server = FeedServer(self.feed, self.fleet, key_pepper=pepper(), plane_token=TOKEN, heartbeat_s=0.2)

    def load(self, epoch: str, revision: int, resources: Sequence[Resource]) -> None:
        self.feed.state = ConfigState(epoch, revision, [Projected(revision, upserts=resources)])
        self.feed.subscribers.wake()

    def change(self, revision: int, upserts: Sequence[Resource] = (), removals: Sequence[str] = ()) -> None:
        assert self.feed.state is not None
        self.feed.state.advance(revision, [Projected(revision, upserts=upserts, removals=removals)])
        self.feed.subscribers.wake()

    async def _read(self, state: ConfigState | None) -> ConfigState:
        """There is nothing newer than what it was told."""
        assert state is not None
        return state


@asynccontextmanager
async def serving_plane(plane: Plane, port: int = 0) -> AsyncIterator[int]:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    plane.server.register(server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    feeding = asyncio.create_task(plane.feed.run())
    try:
        yield bound
    finally:
        plane.server.close()
        await server.stop(0.1)
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def digests_of(subscriber: Subscriber) -> set[bytes]:
    assert subscriber.holder.current is not None
    return set(subscriber.holder.current.keys)


def revision_of(subscriber: Subscriber) -> int:
    return 0 if subscriber.holder.current is None else subscriber.holder.current.revision


async def test_a_large_state_comes_in_parts_and_changes_follow() -> None:
    plane = Plane()
    keys = [key(f"k{number}", number, models=["model-" + "x" * 200]) for number in range(1, 8_001)]
    plane.load("e", 9, [*keys, upstream("u"), route("r", "u", "missing")])
    async with serving_plane(plane) as port, subscribing(f"127.0.0.1:{port}") as subscriber:
        await until(lambda: revision_of(subscriber) == 9)
        snapshot = subscriber.holder.current
        assert snapshot is not None
        assert (len(snapshot.keys), snapshot.pepper) == (8_000, b"pepper")
        plane.change(10, [key("k1", 1, revoked=True, revision=10)], ["teams/t/keys/k2"])
        await until(lambda: revision_of(subscriber) == 10)
        snapshot = subscriber.holder.current
        assert snapshot is not None
        assert snapshot.keys[digest(1)].key.revoked
        assert digest(2) not in snapshot.keys
        assert [rejection.name for rejection in subscriber.holder.state.rejections] == ["routes/r"]


async def test_a_restarted_control_plane_is_resumed_and_heartbeats_keep_the_age_low() -> None:
    first, second = Plane(), Plane()
    first.load("e", 3, [key("a", 1, revision=3), key("b", 2, revision=3)])
    second.load("e", 3, [key("a", 1, revision=3), key("b", 2, revision=3)])
    second.change(4, [key("c", 3, revision=4)], ["teams/t/keys/b"])
    port = free_port()
    async with subscribing(f"127.0.0.1:{port}") as subscriber:
        async with serving_plane(first, port):
            await until(lambda: revision_of(subscriber) == 3)
        async with serving_plane(second, port):
            await until(lambda: revision_of(subscriber) == 4)
            assert digests_of(subscriber) == {digest(1), digest(3)}
            await until(lambda: subscriber.holder.age_s < 0.1)


async def test_another_database_replaces_everything() -> None:
    first, second = Plane(), Plane()
    first.load("e", 300, [key("a", 1)])
    second.load("f", 2, [key("b", 2)])
    port = free_port()
    async with subscribing(f"127.0.0.1:{port}") as subscriber:
        async with serving_plane(first, port):
            await until(lambda: revision_of(subscriber) == 300)
        async with serving_plane(second, port):
            await until(lambda: revision_of(subscriber) == 2)
            assert digests_of(subscriber) == {digest(2)}


async def test_a_replica_that_lags_is_not_followed_until_it_has_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    ahead, lagging = Plane(), Plane()
    ahead.load("e", 8, [key("a", 1, revoked=True, revision=8)])
    lagging.load("e", 7, [key("a", 1, revision=7)])
    port = free_port()
    async with subscribing(f"127.0.0.1:{port}") as subscriber:
        async with serving_plane(ahead, port):
            await until(lambda: revision_of(subscriber) == 8)
        async with serving_plane(lagging, port):
            await until(lambda: "is older than 8" in caplog.text)
            assert subscriber.holder.current is not None
            assert subscriber.holder.current.keys[digest(1)].key.revoked
            lagging.change(8, [key("a", 1, revoked=True, revision=8)])
            lagging.change(9, [key("b", 2, revision=9)])
            await until(lambda: revision_of(subscriber) == 9)
            assert digests_of(subscriber) == {digest(1), digest(2)}


async def test_a_database_that_was_put_back_is_followed_after_a_while() -> None:
    before, after = Plane(), Plane()
    before.load("e", 8, [key("a", 1, revision=8)])
    after.load("e", 5, [key("b", 2, revision=5)])
    port = free_port()
    async with subscribing(f"127.0.0.1:{port}", behind_grace_s=0.5) as subscriber:
        async with serving_plane(before, port):
            await until(lambda: revision_of(subscriber) == 8)
        async with serving_plane(after, port):
            await until(lambda: revision_of(subscriber) == 5)
            assert digests_of(subscriber) == {digest(2)}
            after.change(6, [key("c", 3, revision=6)])
            await until(lambda: digests_of(subscriber) == {digest(2), digest(3)})
