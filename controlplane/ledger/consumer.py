"""The ledger's consumer: takes messages of the usage stream, books them, then acknowledges them.

A message is acknowledged only after the commit of everything in it and after its copy to the tap, so whatever happens
in between makes it come again, and booking it again changes nothing.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from controlplane.errors import Unavailable
from controlplane.ledger.booking import Bookkeeper, Parcel, read_parcels
from controlplane.ledger.connection import Connect, close, described
from controlplane.ledger.drain import StreamDrain
from controlplane.ledger.metrics import ConsumerMetrics
from controlplane.ledger.producers.repository import ProducerProgress
from controlplane.ledger.readiness import ConsumerReadiness
from controlplane.ledger.source import UsageSource, delivery_of
from controlplane.ledger.stream import ACK_WAIT_S, StreamSettings, ensure_stream
from controlplane.ledger.tap.copier import TapCopier
from tollway.kernel.subjects import USAGE_CONSUMER, USAGE_STREAM

if TYPE_CHECKING:
    from controlplane.ledger.tracing import BookingTracer

BOOKERS = 3
KEEP_ALIVE_S = ACK_WAIT_S / 4
WATCH_INTERVAL_S = 1.0
FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 3.0
STOP_GRACE_S = 10.0
NATS = "nats"
DATABASE = "database"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConsumerParts:
    """What the consumer works with."""

    connect: Connect
    stream: StreamSettings
    bookkeeper: Bookkeeper
    readiness: ConsumerReadiness
    metrics: ConsumerMetrics
    progress: ProducerProgress
    tap: TapCopier
    tracer: "BookingTracer | None" = None


class LedgerConsumer:
    """Survives NATS and Postgres going away. After `stop` is set it takes no more, finishes what it has, and ends."""

    def __init__(self, parts: ConsumerParts, stop: asyncio.Event) -> None:
        self._parts = parts
        self._stop = stop
        self._grace_end_s = 0.0

    async def run(self) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            started_s = time.monotonic()
            try:
                await self._session()
            except (NatsError, OSError, TimeoutError) as error:
                self._parts.readiness.report(NATS, described(error))
            if time.monotonic() - started_s > LAST_BACKOFF_S:
                backoff = Backoff()
            await self._pause(backoff.next_s())

    async def _session(self) -> None:
        """One connection's life."""
        client = await self._connect()
        if client is None:
            return
        try:
            source = UsageSource(client)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch(client, source), name="watch the stream")
                stopping = tasks.create_task(self._stop_source(source), name="wait for stop")
                bookers = [tasks.create_task(self._book_all(source), name=f"booker {n}") for n in range(BOOKERS)]
                await asyncio.wait(bookers)
                watching.cancel()
                stopping.cancel()
        finally:
            self._parts.tap.close()
            await close(client)

    async def _connect(self) -> Client | None:
        """None when told to stop before there is a connection."""
        connecting = asyncio.ensure_future(self._parts.connect())
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if connecting.done():
            return connecting.result()
        connecting.cancel()
        return None

    async def _stop_source(self, source: UsageSource) -> None:
        await self._stop.wait()
        source.stop()

    async def _watch(self, client: Client, source: UsageSource) -> None:
        """Make the stream at first and whenever it is gone, and report what waits in it."""
        jetstream = client.jetstream(timeout=ACK_WAIT_S)
        is_there = False
        drain = StreamDrain()
        while True:
            try:
                is_missing = not is_there or source.is_lost
                if is_missing:
                    await ensure_stream(jetstream, self._parts.stream)
                if not self._parts.tap.is_open:
                    await self._parts.tap.open(client)
                if is_missing:
                    await source.open()
                    is_there = True
                info = await jetstream.consumer_info(USAGE_STREAM, USAGE_CONSUMER)
                self._parts.metrics.set_pending((info.num_pending or 0) + (info.num_ack_pending or 0))
                self._parts.readiness.clear(NATS)
                await self._mark_drained(jetstream, drain)
            except (NatsError, OSError, TimeoutError) as error:
                is_there = is_there and not isinstance(error, NotFoundError)
                self._parts.readiness.report(NATS, described(error))
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _mark_drained(self, jetstream: JetStreamContext, drain: StreamDrain) -> None:
        """Note since when nothing older is in the stream; without a database that waits."""
        progress = self._parts.progress
        try:
            asked = await progress.read_time()
            through = drain.look((await jetstream.stream_info(USAGE_STREAM)), asked)
            if through is not None:
                await progress.mark_drained(through)
        except Unavailable as error:
            _log.debug("the stream's mark is not written reason=%s", error.message)

    async def _book_all(self, source: UsageSource) -> None:
        """Ends when the connection is over, and after a stop when nothing is left that has come."""
        while not source.is_closed:
            messages = await source.receive()
            if messages:
                await self._book_messages(messages)
            elif self._stop.is_set():
                return

    async def _book_messages(self, messages: Sequence[Msg]) -> None:
        async with _kept_alive(messages):
            unacknowledged = iter(messages)
            for parcels in read_parcels(map(delivery_of, messages)):
                if not await self._book_parcels(parcels):
                    return
                booked = list(islice(unacknowledged, len(parcels)))
                if not await self._parts.tap.copy(booked):
                    return
                for message in booked:
                    await _try(message.ack)

    async def _book_parcels(self, parcels: list[Parcel]) -> bool:
        """True when booked; while the database is away it tries again, until some seconds after a stop."""
        backoff = Backoff()
        while True:
            started_s, started_ns = time.monotonic(), time.time_ns()
            try:
                booked = await self._parts.bookkeeper.book(parcels)
            except Unavailable as error:
                self._parts.metrics.retried()
                self._parts.readiness.report(DATABASE, error.message)
                if self._is_out_of_grace():
                    _log.warning("stopped before messages were booked, they come again messages=%d", len(parcels))
                    return False
                await asyncio.sleep(backoff.next_s())
                continue
            self._parts.readiness.clear(DATABASE)
            self._parts.metrics.booked(parcels, booked, time.monotonic() - started_s)
            if booked.dead_letters:
                _log.error("events cannot be booked, see ledger_dead_letter events=%d", booked.dead_letters)
            if self._parts.tracer is not None:
                self._parts.tracer.trace(parcels, started_ns)
            return True

    def _is_out_of_grace(self) -> bool:
        """True some seconds after a stop was first seen here."""
        if not self._stop.is_set():
            return False
        self._grace_end_s = self._grace_end_s or time.monotonic() + STOP_GRACE_S
        return time.monotonic() > self._grace_end_s

    async def _pause(self, duration_s: float) -> None:
        try:
            async with asyncio.timeout(duration_s):
                await self._stop.wait()
        except TimeoutError:
            return


class Backoff:
    """Waits that double up to LAST_BACKOFF_S, each shortened by up to a half at random."""

    def __init__(self) -> None:
        self._bound_s = FIRST_BACKOFF_S

    def next_s(self) -> float:
        bound_s = self._bound_s
        self._bound_s = min(LAST_BACKOFF_S, 2 * bound_s)
        return bound_s * random.uniform(0.5, 1.0)  # noqa: S311


@asynccontextmanager
async def _kept_alive(messages: Sequence[Msg]) -> AsyncIterator[None]:
    """Tell the server again and again that `messages` are being worked on, or it would deliver them a second time."""
    task = asyncio.create_task(_keep_alive(messages), name="keep alive")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _keep_alive(messages: Sequence[Msg]) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE_S)
        for message in messages:
            if not message.is_acked:
                await _try(message.in_progress)


async def _try(send: Callable[[], Awaitable[None]]) -> None:
    """A signal about a message that may be lost: the message comes again then."""
    try:
        await send()
    except (NatsError, OSError) as error:
        _log.debug("signal not sent error=%s", type(error).__name__)
