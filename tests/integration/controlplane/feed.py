"""A feed on a real gRPC server, and a data plane that follows it as discovery.proto says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from controlplane.admin import ConfigRooms
from tests.integration.controlplane.admin import PLANE_TOKEN
from tollway.config.v1.discovery_pb2 import Ack, Cursor, Hello, Rejection, SubscribeRequest, SubscribeResponse
from tollway.config.v1.discovery_pb2_grpc import ConfigDiscoveryServiceStub
from tollway.config.v1.resources_pb2 import Resource

DEADLINE_S = 10.0


@asynccontextmanager
async def serve_feed(rooms: ConfigRooms) -> AsyncIterator[str]:
    """Runs feed, fleet and server; yields the address."""
    tasks = [asyncio.create_task(rooms.feed.run()), asyncio.create_task(rooms.fleet.run())]
    server = grpc.aio.server()
    rooms.server.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await rooms.feed.wait_loaded()
        yield f"127.0.0.1:{port}"
    finally:
        rooms.server.close()
        await server.stop(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def open_stream(channel: grpc.aio.Channel, token: str) -> Any:
    """A stream to write to and to read from, as only the untyped call without an iterator gives."""
    subscribe: Any = ConfigDiscoveryServiceStub(channel).Subscribe
    return subscribe(metadata=(("authorization", f"Bearer {token}"),))


class Subscriber:
    """What one data plane holds; it acknowledges every nonce."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.cursor: Cursor | None = None
        self.responses: list[SubscribeResponse] = []
        self.heartbeats = 0
        self.rejections: list[Rejection] = []
        self._parts: list[SubscribeResponse] = []
        self._changed = asyncio.Condition()

    async def follow(self, address: str, node: str = "node", token: str = PLANE_TOKEN) -> None:
        """Runs until the stream ends; raises AioRpcError when the server ends it so."""
        async with grpc.aio.insecure_channel(address) as channel:
            call = open_stream(channel, token)
            hello = Hello(node=node, boot_id=7, build="test", resume_from=self.cursor)
            await call.write(SubscribeRequest(hello=hello))
            async for response in call:
                self._take(response)
                if response.nonce:
                    ack = Ack(nonce=response.nonce, applied=self.cursor, rejections=self.rejections)
                    await call.write(SubscribeRequest(ack=ack))
                async with self._changed:
                    self._changed.notify_all()

    async def wait_for(self, predicate: Callable[["Subscriber"], bool], timeout_s: float = DEADLINE_S) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: predicate(self))

    def _take(self, response: SubscribeResponse) -> None:
        if not response.nonce:
            self.heartbeats += 1
            return
        self.responses.append(response)
        self._parts.append(response)
        if not response.last_part:
            return
        if response.reset:
            self.resources = {}
        for part in self._parts:
            self.resources |= {resource.name: resource for resource in part.upserts}
            for name in part.removals:
                self.resources.pop(name, None)
        self._parts = []
        self.cursor = response.cursor


@asynccontextmanager
async def subscribed(
    address: str, subscriber: Subscriber | None = None, node: str = "node"
) -> AsyncIterator[Subscriber]:
    """A subscriber that has seen its first update on this stream."""
    follower = subscriber or Subscriber()
    seen = len(follower.responses)
    task = asyncio.create_task(follower.follow(address, node))
    try:
        await follower.wait_for(lambda s: any(r.last_part for r in s.responses[seen:]))
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
