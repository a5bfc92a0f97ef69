"""ConfigDiscoveryService: one stream per data plane, each at its own pace."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from itertools import count

import grpc

from controlplane.discovery.acknowledgement import LedgerProgress, UsageWatch
from controlplane.discovery.feed import ConfigFeed
from controlplane.discovery.fleet import Connection, Fleet
from controlplane.discovery.parts import cut_update
from controlplane.discovery.state import Update
from controlplane.errors import Unavailable
from tollway.config.v1.discovery_pb2 import Ack, Cursor, Hello, SubscribeRequest, SubscribeResponse
from tollway.config.v1.discovery_pb2_grpc import (
    ConfigDiscoveryServiceServicer,
    add_ConfigDiscoveryServiceServicer_to_server,
)
from tollway.config.v1.resources_pb2 import Resource

logger = logging.getLogger(__name__)

SERVICE_NAME = "tollway.config.v1.ConfigDiscoveryService"
HEARTBEAT_S = 2.0
LEDGER_INTERVAL_S = 0.25
HELLO_TIMEOUT_S = 10.0
LOAD_WAIT_S = 2.0
MAX_NODE = 253
MAX_BUILD = 128

Context = grpc.aio.ServicerContext[SubscribeRequest, SubscribeResponse]


class FeedServer(ConfigDiscoveryServiceServicer):
    """`key_pepper` goes first on every stream; `plane_token` is what callers must bear.

    `observe_applied_s` is told how long after a change each data plane said that it has applied it. Without `ledger`,
    usage is never acknowledged.
    """

    def __init__(
        self,
        feed: ConfigFeed,
        fleet: Fleet,
        *,
        key_pepper: Resource,
        plane_token: str,
        heartbeat_s: float = HEARTBEAT_S,
        observe_applied_s: Callable[[float], None] = lambda _: None,
        ledger: LedgerProgress | None = None,
    ) -> None:
        self._feed = feed
        self._fleet = fleet
        self._key_pepper = key_pepper
        self._authorization = f"Bearer {plane_token}".encode()
        self._heartbeat_s = heartbeat_s
        self._observe_applied_s = observe_applied_s
        self._ledger = ledger
        self._watches: dict[UsageWatch, asyncio.Event] = {}
        self._streams = 0
        self._closing = asyncio.Event()
        self._all_ended = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        add_ConfigDiscoveryServiceServicer_to_server(self, server)

    def close(self) -> None:
        """Ends all streams, so that data planes go to another control plane."""
        self._closing.set()
        self._feed.subscribers.wake()

    async def wait_ended(self, timeout_s: float) -> None:
        """After `close`: until every stream has ended, at most `timeout_s`."""
        if self._streams:
            await _wait(self._all_ended, timeout_s)

    async def run(self) -> None:
        """Reads the ledger's progress for all streams, until cancelled."""
        while self._ledger is not None:
            await asyncio.sleep(LEDGER_INTERVAL_S)
            try:
                await self._read_progress(self._ledger)
            except Unavailable as error:
                logger.debug("usage is not acknowledged, tried again soon reason=%s", error.message)

    async def Subscribe(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[SubscribeRequest], context: Context
    ) -> None:
        await self._authenticate(context)
        hello = await self._read_hello(request_iterator, context)
        is_at_hand = await self._feed.is_loaded(LOAD_WAIT_S) and await self._feed.catch_up(hello.resume_from)
        if self._closing.is_set() or not is_at_hand:
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "the configuration is not at hand; try another control plane"
            )
        self._streams += 1
        connection = self._fleet.connect(hello)
        logger.info("data plane connected node=%s boot_id=%d build=%s", hello.node, hello.boot_id, hello.build)
        try:
            await self._serve(hello, connection, request_iterator, context)
        finally:
            self._fleet.disconnect(connection)
            self._streams -= 1
            if self._closing.is_set() and not self._streams:
                self._all_ended.set()
            logger.info("data plane disconnected node=%s boot_id=%d", hello.node, hello.boot_id)

    async def _authenticate(self, context: Context) -> None:
        metadata = context.invocation_metadata() or ()
        given = [
            value.encode() if isinstance(value, str) else value for key, value in metadata if key == "authorization"
        ]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._authorization):
            logger.warning("data plane refused: wrong plane token peer=%s", context.peer())
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "the plane token is missing or wrong; set TOLLWAY_PLANE_TOKEN"
            )

    async def _read_hello(self, requests: AsyncIterator[SubscribeRequest], context: Context) -> Hello:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                first = await anext(requests, None)
        except TimeoutError:
            first = None
        if first is None or not first.HasField("hello"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be a Hello")
            raise AssertionError("abort raises")
        hello = first.hello
        if not 0 < len(hello.node) <= MAX_NODE or not hello.node.isprintable() or len(hello.build) > MAX_BUILD:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Hello.node must be 1 to {MAX_NODE} printable characters"
            )
        return hello

    async def _serve(
        self, hello: Hello, connection: Connection, requests: AsyncIterator[SubscribeRequest], context: Context
    ) -> None:
        """Pushes until the data plane leaves or this server closes."""
        watch = UsageWatch()
        reader = asyncio.create_task(self._read_told(requests, connection, watch), name=f"feed-told-{hello.node}")
        writer = asyncio.create_task(self._push(hello, context, watch), name=f"feed-push-{hello.node}")
        try:
            done, _ = await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._watches.pop(watch, None)
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, grpc.aio.UsageError | asyncio.InvalidStateError):
                raise error
        if self._closing.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this control plane stops; go to another one")

    async def _push(self, hello: Hello, context: Context, watch: UsageWatch) -> None:
        nonces = count(1)
        sent = hello.resume_from if hello.HasField("resume_from") else None
        is_first = True
        with self._feed.subscribers.subscription() as changed:
            self._watches[watch] = changed
            while not self._closing.is_set():
                changed.clear()
                update = self._due_update(sent, is_first)
                if update is None:
                    await context.write(SubscribeResponse(ledger_acks=watch.take_acks()))
                else:
                    await self._write(update, context, lambda: str(next(nonces)))
                    sent, is_first = update.cursor, False
                await _wait(changed, self._heartbeat_s)

    def _due_update(self, sent: Cursor | None, is_first: bool) -> Update | None:
        """What is to be sent to a stream that is at `sent`; None when there is nothing but a heartbeat to say."""
        state = self._feed.state
        assert state is not None
        if not is_first and sent == state.cursor:
            return None
        update = state.update_since(sent)
        if not is_first:
            return update
        return Update(update.cursor, update.reset, [self._key_pepper, *update.upserts], update.removals)

    async def _write(self, update: Update, context: Context, make_nonce: Callable[[], str]) -> None:
        for part in cut_update(update, make_nonce):
            await context.write(part)

    async def _read_told(
        self, requests: AsyncIterator[SubscribeRequest], connection: Connection, watch: UsageWatch
    ) -> None:
        async for request in requests:
            if request.HasField("usage_position"):
                watch.tell(request.usage_position)
            if request.HasField("ack"):
                self._observe(request.ack, connection)
                _note(request.ack, connection)

    async def _read_progress(self, ledger: LedgerProgress) -> None:
        """One look for all streams; what was told while it is under way is judged by the next one."""
        asked = {watch: waiting for watch in self._watches if (waiting := watch.waiting())}
        if not asked:
            return
        progress = await ledger.read({boot_id for waiting in asked.values() for boot_id in waiting})
        news = {watch for watch, waiting in asked.items() if watch.judge(progress, waiting)}
        finished = {watch: boot_ids for watch in asked if (boot_ids := watch.finished())}
        if finished:
            await ledger.complete({boot_id for boot_ids in finished.values() for boot_id in boot_ids})
            for watch, boot_ids in finished.items():
                watch.confirm(boot_ids)
        for watch in news | finished.keys():
            if watch in self._watches:
                self._watches[watch].set()

    def _observe(self, ack: Ack, connection: Connection) -> None:
        state = self._feed.state
        is_news = connection.row.revision not in (0, ack.applied.revision)
        if is_news and state is not None and ack.applied == state.cursor:
            self._observe_applied_s(time.monotonic() - self._feed.changed_at_s)


def _note(ack: Ack, connection: Connection) -> None:
    for rejection in connection.acknowledge(ack):
        node, name, reason = connection.row.node, rejection["name"], rejection["reason"]
        logger.warning("data plane refuses a resource node=%s resource=%s reason=%r", node, name, reason)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
