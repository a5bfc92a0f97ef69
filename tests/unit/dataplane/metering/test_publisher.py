import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dataplane.metering.emitter import Emitter, OpenAttempts
from dataplane.metering.jetstream import PublishFailed
from dataplane.metering.outbox import Outbox
from dataplane.metering.producer import Producer
from dataplane.metering.publisher import WORKERS, Publisher
from dataplane.metering.spool.journal import Journal
from tests.fakes.outcomes import make_outcome
from tollway.usage.v1.usage_pb2 import UsageEventBatch


class RecordingLink:
    """Fails the first `failures` publishes, after taking the message all the same."""

    def __init__(self, failures: int = 0) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.messages: list[tuple[str, bytes]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._failures = failures

    async def wait_connected(self) -> None:
        await self.connected.wait()

    async def publish(self, payload: bytes, message_id: str) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.messages.append((message_id, payload))
        if self._failures:
            self._failures -= 1
            raise PublishFailed("no answer")


class Pauses:
    """Bounds of the pauses that were drawn; none of them lasts."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, float]] = []

    def uniform(self, low: float, high: float) -> float:
        self.drawn.append((low, high))
        return 0.0


def make_emitter(boot_id: int, folder: Path) -> tuple[Emitter, Outbox]:
    opens, outbox = OpenAttempts(), Outbox()
    return Emitter(Producer(boot_id, Journal(folder, opens)), outbox, opens), outbox


@asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_is_tried_under_one_id_until_it_is_acknowledged(tmp_path: Path) -> None:
    (emitter, outbox), link, pauses = make_emitter(9, tmp_path), RecordingLink(failures=8), Pauses()
    emitter.emit(make_outcome())
    emitter.emit(make_outcome())
    publisher = Publisher(outbox, link, pauses.uniform)

    async with running(publisher):
        assert await emitter.flush(timeout_s=5) == 0

    assert {message_id for message_id, _ in link.messages} == {"9:1-2"}
    assert len({payload for _, payload in link.messages}) == 1
    assert (len(link.messages), publisher.retries) == (9, 8)
    assert pauses.drawn[0] == (0.1, 0.1)
    assert pauses.drawn[-1] == (0.1, 5.0)


async def test_nothing_is_tried_while_there_is_no_connection(tmp_path: Path) -> None:
    (emitter, outbox), link = make_emitter(9, tmp_path), RecordingLink()
    link.connected.clear()
    emitter.emit(make_outcome())

    async with running(Publisher(outbox, link, Pauses().uniform)):
        assert await emitter.flush(timeout_s=0.01) == 1
        assert link.messages == []
        link.connected.set()
        assert await emitter.flush(timeout_s=5) == 0


async def test_batches_travel_beside_one_another_and_none_is_lost(tmp_path: Path) -> None:
    (emitter, outbox), link = make_emitter(9, tmp_path), RecordingLink(failures=5)
    for _ in range(20_000):
        emitter.emit(make_outcome())

    async with running(Publisher(outbox, link, Pauses().uniform)):
        assert await emitter.flush(timeout_s=30) == 0

    received = {event.sequence for _, payload in link.messages for event in UsageEventBatch.FromString(payload).events}
    assert received == set(range(1, 20_001))
    assert link.most_at_once == WORKERS
