"""A control plane's feed whose every word a test says itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import grpc

from tollway.config.v1 import discovery_pb2 as wire
from tollway.config.v1.discovery_pb2_grpc import (
    ConfigDiscoveryServiceServicer,
    add_ConfigDiscoveryServiceServicer_to_server,
)
from tollway.config.v1.resources_pb2 import Resource

DEADLINE_S = 15.0
TOKEN = "plane-token-of-tests"

Context = grpc.aio.ServicerContext[wire.SubscribeRequest, wire.SubscribeResponse]


class FeedStream:
    """One data plane's stream, as the test drives it."""

    def __init__(self, hello: wire.Hello, requests: AsyncIterator[wire.SubscribeRequest], context: Context) -> None:
        self.hello = hello
        self.is_over = asyncio.Event()
        self._requests = requests
        self._context = context
        self._nonces = 0

    async def send(
        self,
        revision: int,
        upserts: Iterable[Resource] = (),
        *,
        epoch: str = "e",
        removals: Iterable[str] = (),
        reset: bool = False,
        last_part: bool = True,
    ) -> wire.Ack:
        """One response, and the acknowledgement that it gets."""
        self._nonces += 1
        await self._context.write(
            wire.SubscribeResponse(
                nonce=f"n{self._nonces}",
                cursor=wire.Cursor(epoch=epoch, revision=revision),
                reset=reset,
                last_part=last_part,
                upserts=upserts,
                removals=removals,
            )
        )
        async with asyncio.timeout(DEADLINE_S):
            request = await anext(self._requests)
            while request.HasField("usage_position"):
                request = await anext(self._requests)
        assert request.ack.nonce == f"n{self._nonces}"
        return request.ack

    async def offer(self, revision: int, *, reset: bool = False) -> None:
        """A response that is not waited for."""
        cursor = wire.Cursor(epoch="e", revision=revision)
        await self._context.write(wire.SubscribeResponse(nonce="o", cursor=cursor, reset=reset, last_part=True))

    async def beat(self) -> None:
        await self._context.write(wire.SubscribeResponse())

    def end(self) -> None:
        self.is_over.set()


class ScriptedFeed(ConfigDiscoveryServiceServicer):
    """Takes streams that bear `token` and hands them out in the order in which they came."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.refusals = 0
        self._streams: asyncio.Queue[FeedStream] = asyncio.Queue()

    async def Subscribe(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[wire.SubscribeRequest], context: Context
    ) -> None:
        if ("authorization", f"Bearer {self.token}") not in list(context.invocation_metadata() or ()):
            self.refusals += 1
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the plane token is wrong")
        first = await anext(request_iterator)
        assert first.HasField("hello"), "a stream begins with Hello"
        stream = FeedStream(first.hello, request_iterator, context)
        await self._streams.put(stream)
        await stream.is_over.wait()

    async def next_stream(self) -> FeedStream:
        async with asyncio.timeout(DEADLINE_S):
            return await self._streams.get()


@asynccontextmanager
async def serving(
    feed: ScriptedFeed, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    """The port that `feed` is served on, on 127.0.0.1."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    add_ConfigDiscoveryServiceServicer_to_server(feed, server)
    address = f"127.0.0.1:{port}"
    bound = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


async def until(condition: Callable[[], bool], probe: Callable[[], Awaitable[None]] | None = None) -> None:
    """Waits for `condition`, with `probe` run before each look at it; fails after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if probe is not None:
                await probe()
            if condition():
                return
            await asyncio.sleep(0.02)
