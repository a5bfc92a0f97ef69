"""A NATS server that a test may stop, freeze and kill, and an emitter that publishes to it."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig

from dataplane.metering.emitter import SpoolBounds
from dataplane.metering.jetstream import JetStreamLink
from dataplane.metering.publisher import Publisher
from dataplane.metering.room import UsageRoom
from tests.fakes.outcomes import make_outcome
from tollctl.local.nats import EmbeddedNats
from tollway.kernel.subjects import USAGE_STREAM, USAGE_SUBJECTS, usage_subject
from tollway.usage.v1.usage_pb2 import UsageEvent, UsageEventBatch

BOOT_ID = 4711


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """NATS of this test alone, running."""
    embedded = EmbeddedNats(tmp_path / "nats")
    await embedded.start()
    yield embedded
    await embedded.stop()


class Usage:
    """An emitter with its publisher and connection."""

    def __init__(self, url: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tollway-test-spool-")
        self.room = UsageRoom.build(Path(self._folder.name), BOOT_ID, has_ledger=True, bounds=SpoolBounds())
        self.emitter, self.outbox = self.room.emitter, self.room.outbox
        self.link = JetStreamLink([url], usage_subject("test-node"), "test-node", random.uniform)
        self.publisher = Publisher(self.outbox, self.link, random.uniform)

    def emit(self, calls: int) -> None:
        for _ in range(calls):
            self.emitter.emit(make_outcome())

    def close(self) -> None:
        self.room.close()
        self._folder.cleanup()


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Usage]:
    usage = Usage(url)
    tasks = [asyncio.create_task(usage.publisher.run()), asyncio.create_task(usage.link.run())]
    try:
        yield usage
    finally:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
        usage.close()


@asynccontextmanager
async def jetstream(url: str) -> AsyncIterator[nats.js.JetStreamContext]:
    async with AsyncExitStack() as stack:
        client = await nats.connect(url)
        stack.push_async_callback(client.close)
        yield client.jetstream(timeout=5)


async def make_stream(url: str, *, max_messages: int = -1) -> None:
    """Create the usage stream, or change its bound."""
    config = StreamConfig(
        name=USAGE_STREAM,
        subjects=[USAGE_SUBJECTS],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        max_msgs=max_messages,
        duplicate_window=120,
    )
    async with jetstream(url) as js:
        try:
            await js.add_stream(config)
        except nats.js.errors.BadRequestError:
            await js.update_stream(config)


async def stored_sequences(url: str) -> list[int]:
    """Sequence numbers of all events in the stream, duplicates included."""
    found: list[int] = []
    async with jetstream(url) as js:
        remaining = (await js.stream_info(USAGE_STREAM)).state.messages
        subscription = await js.pull_subscribe("", durable="reader", stream=USAGE_STREAM)
        while remaining > 0:
            messages = await subscription.fetch(min(remaining, 100), timeout=10)
            for message in messages:
                found += [event.sequence for event in UsageEventBatch.FromString(message.data).events]
                await message.ack()
            remaining -= len(messages)
    return found


async def stored_events(url: str) -> list[UsageEvent]:
    """The events in the stream, each id once; nothing is taken out of it."""
    found: dict[bytes, UsageEvent] = {}
    async with jetstream(url) as js:
        state = (await js.stream_info(USAGE_STREAM)).state
        for number in range(state.first_seq, state.last_seq + 1) if state.messages else ():
            batch = UsageEventBatch.FromString((await js.get_msg(USAGE_STREAM, seq=number)).data or b"")
            found.update((event.event_id, event) for event in batch.events)
    return list(found.values())


async def eventually(condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await _value(condition()):
            await asyncio.sleep(0.01)


async def _value(value: bool | Awaitable[bool]) -> bool:
    return value if isinstance(value, bool) else await value


def assert_complete(sequences: list[int], calls: int) -> None:
    assert sorted(set(sequences)) == list(range(1, calls + 1))
    assert len(sequences) == calls, "a batch was stored twice within the duplicate window"


@pytest.fixture
def boot_id() -> int:
    return BOOT_ID
