"""Copies of what was booked, and a ledger that was restored to an older state and made whole from them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy

from controlplane.authz import AdminPrincipal
from controlplane.db.engine import Database
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.state.repository import StateRepository
from controlplane.ledger.tap.api import ledger_replay_handlers
from controlplane.ledger.tap.repository import Replay, ReplayRepository, ReplayState
from tests.fakes.usage_events import FakeDataPlane, Truth, batches
from tests.integration.ledger.processes import ConsumerProcesses, kill_server
from tests.integration.ledger.publishing import publish_all
from tests.integration.ledger.reading import count_drift, fetch_value, ledger_truth
from tests.integration.ledger.waiting import wait_until
from tollctl.local.nats import EmbeddedNats
from tollway.admin.v1.ledger_pb2 import CreateLedgerReplayRequest, GetLedgerReplayRequest, LedgerReplay
from tollway.kernel.subjects import TAP_STREAM, USAGE_STREAM
from tollway.usage.v1.usage_pb2 import UsageEventBatch

_RANGES = "SELECT string_agg(format('%s %s', boot_id, booked), ';' ORDER BY boot_id) FROM ledger_producer"


@pytest_asyncio.fixture
async def restorable(ledger_url: str) -> AsyncIterator["Restorable"]:
    restorable = Restorable(ledger_url)
    yield restorable
    await restorable.drop_backup()


class Restorable:
    """A database that can be backed up and put back, as by a restore of an older state."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = url.rpartition("/")[2]
        self._server_url = f"{url.rpartition('/')[0]}/postgres"

    async def back_up(self) -> None:
        await self._copy(self._name, f"{self._name}_backup")

    async def restore(self) -> None:
        await self._copy(f"{self._name}_backup", self._name)

    async def drop_backup(self) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {self._name}_backup WITH (FORCE)")

    async def _copy(self, source: str, target: str) -> None:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{source}'"
        await self._execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)", end)
        await self._execute(f"CREATE DATABASE {target} TEMPLATE {source}")

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._server_url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


async def wait_booked(url: str, events: int) -> None:
    async def is_booked() -> bool:
        return (await ledger_truth(url)).events >= events

    await wait_until(is_booked, timeout_s=60)


async def wait_drained(client: Client) -> None:
    async def is_empty() -> bool:
        return (await client.jetstream().stream_info(USAGE_STREAM)).state.messages == 0

    await wait_until(is_empty, timeout_s=60)


async def wait_ended(replays: ReplayRepository, replay_id: int) -> Replay:
    async def is_ended() -> bool:
        replay = await replays.read(replay_id)
        return replay is not None and replay.state not in (ReplayState.PENDING, ReplayState.RUNNING)

    await wait_until(is_ended, timeout_s=60)
    replay = await replays.read(replay_id)
    assert replay is not None
    return replay


async def test_the_tap_has_every_message_and_its_own_settings(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    consumers.environment["TOLLWAY_USAGE_TAP_DAYS"] = "3"
    await asyncio.gather(consumers.start(), consumers.start())
    events = FakeDataPlane(boot_id=1).events(3_000)
    await publish_all(usage_nats.url(), batches(events, 10), copies=0.1)
    await wait_drained(client)
    info = await client.jetstream().stream_info(TAP_STREAM)
    assert (info.config.retention, info.config.discard) == (RetentionPolicy.LIMITS, DiscardPolicy.OLD)
    assert info.config.max_age == 3 * 86_400
    seen = set()
    subscription = await client.jetstream().subscribe("tollway.tap.v1.>", stream=TAP_STREAM, ordered_consumer=True)
    for _ in range(info.state.messages):
        message = await subscription.next_msg(timeout=5)
        seen |= {event.event_id for event in UsageEventBatch.FromString(message.data).events}
    assert seen == {event.event_id for event in events}


async def test_nothing_is_missing_from_the_tap_when_consumers_and_nats_are_killed(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    """What a kill leaves booked and not copied is not acknowledged either, so its copy comes in the end."""
    consumer = await consumers.start()
    events = FakeDataPlane(boot_id=1).events(2_000)
    publishing = asyncio.create_task(publish_all(usage_nats.url(), batches(events, 5), pause_s=0.005))
    await wait_booked(ledger_url, 100)
    await consumer.kill()
    await consumers.start()
    await wait_booked(ledger_url, 800)
    await kill_server(usage_nats)
    await usage_nats.start()
    await publishing
    await wait_booked(ledger_url, len(events))
    await wait_drained(client)
    database = Database(ledger_url)
    try:
        replays = ReplayRepository(database)
        await _forget_everything(ledger_url)
        replay = await replays.create(datetime.now(UTC) - timedelta(hours=1), None, "admins/test")
        assert (await wait_ended(replays, replay.replay_id)).state is ReplayState.SUCCEEDED
    finally:
        await database.close()
    assert await ledger_truth(ledger_url) == Truth.of(events)


async def _forget_everything(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("TRUNCATE ledger_entry, usage_rollup, usage_latency, usage_group, ledger_producer")
    finally:
        await connection.close()


async def test_a_restored_ledger_is_made_whole_by_a_replay(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str, restorable: Restorable
) -> None:
    consumer = await consumers.start()
    planes = [FakeDataPlane(boot_id) for boot_id in (1, 2)]
    before, after = ([event for plane in planes for event in plane.events(400)] for _ in range(2))
    await publish_all(usage_nats.url(), batches(before, 7))
    await wait_drained(client)
    await consumer.stop()
    await restorable.back_up()
    restored_time = datetime.now(UTC)
    consumer = await consumers.start()
    await publish_all(usage_nats.url(), [*batches(after, 7), b"\xff no batch"])
    await wait_drained(client)
    ranges = await fetch_value(ledger_url, _RANGES)
    await consumer.stop()
    await restorable.restore()
    assert await ledger_truth(ledger_url) == Truth.of(before)
    database = Database(ledger_url)
    try:
        replays = ReplayRepository(database)
        replay = await replays.create(restored_time, None, "admins/test")
        consumer = await consumers.start()
        ended = await wait_ended(replays, replay.replay_id)
        assert (ended.state, ended.problem) == (ReplayState.SUCCEEDED, "")
        assert await ledger_truth(ledger_url) == Truth.of([*before, *after])
        assert await count_drift(ledger_url) == 0
        assert await fetch_value(ledger_url, _RANGES) == ranges
        assert ended.inserted == len(after)
        assert await fetch_value(ledger_url, "SELECT count(*) FROM ledger_dead_letter") == 1
        again = await wait_ended(replays, (await replays.create(restored_time, None, "admins/test")).replay_id)
        assert (again.state, again.inserted, again.duplicates) == (ReplayState.SUCCEEDED, 0, len(before) + len(after))
        assert await fetch_value(ledger_url, "SELECT count(*) FROM ledger_dead_letter") == 1
        assert (await StateRepository(database).read()).gaps == []
    finally:
        await database.close()


async def test_a_replay_goes_on_after_its_consumer_was_killed(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    consumer = await consumers.start()
    events = FakeDataPlane(boot_id=1).events(6_000)
    await publish_all(usage_nats.url(), batches(events, 4))
    await wait_drained(client)
    await _forget_everything(ledger_url)
    database = Database(ledger_url)
    try:
        replays = ReplayRepository(database)
        replay_id = (await replays.create(datetime.now(UTC) - timedelta(hours=1), None, "admins/test")).replay_id

        async def is_under_way() -> bool:
            replay = await replays.read(replay_id)
            return replay is not None and replay.messages > 0

        await wait_until(is_under_way, timeout_s=30, interval_s=0.005)
        await consumer.kill()
        under_way = await replays.read(replay_id)
        assert under_way is not None
        assert under_way.state is ReplayState.RUNNING
        # What a killed consumer had claimed is free when its lease ends: time passes here.
        await fetch_value(ledger_url, "UPDATE ledger_replay SET lease_end = now() RETURNING 1")
        await consumers.start()
        ended = await wait_ended(replays, replay_id)
        assert (ended.state, ended.messages) == (ReplayState.SUCCEEDED, 1_500)
    finally:
        await database.close()
    assert await ledger_truth(ledger_url) == Truth.of(events)
    assert await count_drift(ledger_url) == 0


async def test_a_range_without_messages_and_no_tap_at_all(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str, database: Database
) -> None:
    consumer = await consumers.start()
    events = FakeDataPlane(boot_id=1).events(20)
    await publish_all(usage_nats.url(), batches(events, 4))
    await wait_drained(client)
    replays, now = ReplayRepository(database), datetime.now(UTC)
    later = await replays.create(now + timedelta(hours=1), now + timedelta(hours=2), "admins/test")
    earlier = await replays.create(now - timedelta(hours=2), now - timedelta(hours=1), "admins/test")
    for replay in (later, earlier):
        ended = await wait_ended(replays, replay.replay_id)
        assert (ended.state, ended.messages) == (ReplayState.SUCCEEDED, 0)
    await consumer.stop()
    await client.jetstream().delete_stream(TAP_STREAM)
    consumers.environment["TOLLWAY_USAGE_TAP_DAYS"] = "0"
    await consumers.start()
    ended = await wait_ended(replays, (await replays.create(now, None, "admins/test")).replay_id)
    assert ended.state is ReplayState.FAILED
    assert "TOLLWAY_USAGE_TAP_DAYS" in ended.problem


async def test_a_tap_without_room_does_not_keep_the_ledger_from_booking(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    # A stream of another's making that has the tap's subjects: the tap cannot be.
    await client.jetstream().add_stream(name="OTHER", subjects=["tollway.tap.v1.>"])
    consumer = await consumers.start()
    events = FakeDataPlane(boot_id=1).events(500)
    await publish_all(usage_nats.url(), batches(events, 10))
    await wait_drained(client)
    assert await ledger_truth(ledger_url) == Truth.of(events)
    _, metrics = await consumer.read("/metrics")
    assert "tollway_ledger_tap_lost_messages_total 50.0" in metrics
    await client.jetstream().delete_stream("OTHER")
    more = FakeDataPlane(boot_id=2).events(10)

    async def is_there() -> bool:
        return any(info.config.name == TAP_STREAM for info in await client.jetstream().streams_info())

    await wait_until(is_there, timeout_s=10)
    await publish_all(usage_nats.url(), batches(more, 10))
    await wait_drained(client)
    assert (await client.jetstream().stream_info(TAP_STREAM)).state.messages == 1


async def test_replays_are_asked_for_and_watched_over_the_admin_methods(ledger_url: str, database: Database) -> None:
    handlers, principal = ledger_replay_handlers(database), AdminPrincipal("admins/test")
    create = handlers["tollway.admin.v1.LedgerReplayService/CreateLedgerReplay"]
    get = handlers["tollway.admin.v1.LedgerReplayService/GetLedgerReplay"]
    with pytest.raises(InvalidArgument, match="since_time"):
        await create(principal, CreateLedgerReplayRequest())
    asked = LedgerReplay()
    asked.since_time.FromDatetime(datetime(2026, 11, 28, 7, tzinfo=UTC))
    made = await create(principal, CreateLedgerReplayRequest(ledger_replay=asked))
    assert isinstance(made, LedgerReplay)
    assert (made.state, made.principal, made.since_time) == ("pending", "admins/test", asked.since_time)
    assert await get(principal, GetLedgerReplayRequest(name=made.name)) == made
    with pytest.raises(NotFound, match="ledgerReplays/99"):
        await get(principal, GetLedgerReplayRequest(name="ledgerReplays/99"))
    asked.until_time.FromDatetime(datetime(2026, 11, 28, 6, tzinfo=UTC))
    with pytest.raises(InvalidArgument, match="before until_time"):
        await create(principal, CreateLedgerReplayRequest(ledger_replay=asked))
