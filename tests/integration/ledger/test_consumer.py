"""Real consumer processes between a real NATS and a real Postgres: every event once, whatever happens to them."""

import asyncio
import random
import re
import time
from pathlib import Path

from nats.aio.client import Client

from controlplane.migrations import upgrade
from tests.fakes.usage_events import FakeDataPlane, Truth, batch, batches
from tests.integration.ledger.processes import ConsumerProcesses, kill_server
from tests.integration.ledger.publishing import publish_all
from tests.integration.ledger.reading import count_drift, fetch_value, ledger_truth
from tests.integration.ledger.waiting import wait_until
from tollctl.local.nats import EmbeddedNats
from tollctl.local.postgres import EmbeddedPostgres
from tollway.kernel.subjects import USAGE_CONSUMER, USAGE_STREAM

DEAD_LETTERS = "SELECT count(*) FROM ledger_dead_letter"


async def expect_exactly(url: str, truth: Truth, *, timeout_s: float) -> None:
    """Wait until all events are there, then compare everything."""

    async def is_there() -> bool:
        return (await ledger_truth(url)).events >= truth.events

    await wait_until(is_there, timeout_s=timeout_s, interval_s=0.1)
    assert await ledger_truth(url) == truth
    assert await count_drift(url) == 0


async def expect_empty(client: Client, *, timeout_s: float = 15) -> None:
    async def is_empty() -> bool:
        return (await client.jetstream().stream_info(USAGE_STREAM)).state.messages == 0

    await wait_until(is_empty, timeout_s=timeout_s)


async def test_events_are_booked_at_once_and_acknowledged(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    consumer = await consumers.start()
    events = FakeDataPlane(boot_id=1).events(1)
    started_s = time.monotonic()
    await publish_all(usage_nats.url(), [batch(events)])
    await expect_exactly(ledger_url, Truth.of(events), timeout_s=10)
    assert time.monotonic() - started_s < 2.0
    await expect_empty(client)
    status, metrics = await consumer.read("/metrics")
    assert status == 200
    assert 'tollway_ledger_events_total{result="inserted"} 1.0' in metrics
    assert "tollway_ledger_pending_messages 0.0" in metrics
    assert (await consumer.read("/livez"))[0] == 200
    assert await consumer.stop() == 0


async def test_two_consumers_and_many_duplicates(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    await asyncio.gather(consumers.start(), consumers.start())
    planes = [FakeDataPlane(boot_id) for boot_id in (1, 2, 3)]
    events = [plane.events(2_000) for plane in planes]
    await asyncio.gather(*(publish_all(usage_nats.url(), batches(some, 40), copies=0.5) for some in events))
    await expect_exactly(ledger_url, Truth.of(event for some in events for event in some), timeout_s=30)
    await expect_empty(client)


async def test_consumers_killed_again_and_again(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    seed = 20261122
    randomness = random.Random(seed)
    first = await consumers.start()
    events = [FakeDataPlane(boot_id).events(3_000) for boot_id in (1, 2)]
    publishing = [
        asyncio.create_task(publish_all(usage_nats.url(), batches(some, 15), pause_s=0.04, copies=0.1))
        for some in events
    ]
    running = [first, await consumers.start(wait=False)]
    kills = 0
    while not all(task.done() for task in publishing):
        # Most are to be killed at work: one that is killed sooner has not even started.
        await asyncio.sleep(randomness.uniform(0.2, 1.8))
        victim = running.pop(0)
        await victim.kill()
        kills += 1
        running.append(await consumers.start(wait=False))
    await asyncio.gather(*publishing)
    assert kills >= 5
    await expect_exactly(ledger_url, Truth.of(event for some in events for event in some), timeout_s=60)
    await expect_empty(client)
    assert await fetch_value(ledger_url, DEAD_LETTERS) == 0


async def test_nats_killed_under_load(consumers: ConsumerProcesses, usage_nats: EmbeddedNats, ledger_url: str) -> None:
    await consumers.start()
    events = FakeDataPlane(boot_id=1).events(3_000)
    publishing = asyncio.create_task(publish_all(usage_nats.url(), batches(events, 10), pause_s=0.02))
    for _ in range(2):
        await asyncio.sleep(1.0)
        await kill_server(usage_nats)
        await asyncio.sleep(0.5)
        await usage_nats.start()
    await publishing
    await expect_exactly(ledger_url, Truth.of(events), timeout_s=30)


async def test_the_stream_is_made_again_when_it_is_lost(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    await consumers.start()
    before = FakeDataPlane(boot_id=1).events(10)
    await publish_all(usage_nats.url(), [batch(before)])
    await expect_exactly(ledger_url, Truth.of(before), timeout_s=10)
    await client.jetstream().delete_stream(USAGE_STREAM)
    after = FakeDataPlane(boot_id=2).events(10)
    await publish_all(usage_nats.url(), [batch(after)])
    await expect_exactly(ledger_url, Truth.of([*before, *after]), timeout_s=15)
    await client.jetstream().delete_consumer(USAGE_STREAM, USAGE_CONSUMER)
    last = FakeDataPlane(boot_id=3).events(10)
    await publish_all(usage_nats.url(), [batch(last)])
    await expect_exactly(ledger_url, Truth.of([*before, *after, *last]), timeout_s=15)


async def test_what_cannot_be_booked_is_kept_apart_and_hinders_nothing(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, client: Client, ledger_url: str
) -> None:
    await consumers.start()
    events = FakeDataPlane(boot_id=1).events(20)
    bad = FakeDataPlane(boot_id=2).events(2)
    bad[0].ClearField("state")
    bad[1].team = "\N{SNOWMAN}"
    messages = [b"", b"\xff\xff garbage", b"{}", batch([*events[:10], *bad]), batch(events[10:])]
    await publish_all(usage_nats.url(), messages)
    await expect_exactly(ledger_url, Truth.of(events), timeout_s=15)
    await expect_empty(client)
    assert await fetch_value(ledger_url, DEAD_LETTERS) == 5
    reasons = await fetch_value(ledger_url, "SELECT string_agg(reason, ';') FROM ledger_dead_letter")
    assert "state 0" in reasons
    assert "UsageEventBatch" in reasons


async def test_the_stream_refuses_when_full_and_is_a_work_queue(consumers: ConsumerProcesses, client: Client) -> None:
    consumers.environment["TOLLWAY_USAGE_STREAM_MAX_BYTES"] = str(100 << 20)
    await consumers.start()
    config = (await client.jetstream().stream_info(USAGE_STREAM)).config
    assert (config.retention, config.discard, config.storage) == ("workqueue", "new", "file")
    assert (config.max_bytes, config.max_msg_size, config.duplicate_window) == (100 << 20, 1 << 20, 120)
    assert config.deny_delete
    consumers.environment["TOLLWAY_USAGE_STREAM_MAX_BYTES"] = str(200 << 20)
    await consumers.start()
    assert (await client.jetstream().stream_info(USAGE_STREAM)).config.max_bytes == 200 << 20
    durable = (await client.jetstream().consumer_info(USAGE_STREAM, USAGE_CONSUMER)).config
    assert (durable.ack_wait, durable.max_ack_pending, durable.max_deliver) == (5, 256, -1)


async def test_sigterm_finishes_what_is_in_hand(
    consumers: ConsumerProcesses, usage_nats: EmbeddedNats, ledger_url: str
) -> None:
    consumer = await consumers.start()
    events = FakeDataPlane(boot_id=1).events(5_000)
    publishing = asyncio.create_task(publish_all(usage_nats.url(), batches(events, 50)))
    while (await ledger_truth(ledger_url)).events == 0:
        await asyncio.sleep(0.02)
    assert await consumer.stop() == 0
    await publishing
    assert await count_drift(ledger_url) == 0
    await consumers.start()
    await expect_exactly(ledger_url, Truth.of(events), timeout_s=30)
    assert "Traceback" not in consumers.log.read_text()


async def test_it_waits_for_the_schema_and_says_so(database_url: str, usage_nats: EmbeddedNats, tmp_path: Path) -> None:
    consumers = ConsumerProcesses(database_url, usage_nats.url(), tmp_path)
    consumer = await consumers.start(wait=False)
    try:

        async def is_waiting() -> bool:
            status, text = await consumer.read("/readyz")
            return status == 503 and "tollway-migrate" in text

        await wait_until(is_waiting, timeout_s=20)
        assert await consumer.stop() == 0
    finally:
        await consumers.stop_all()


async def test_passwords_are_in_no_log(consumers: ConsumerProcesses, usage_nats: EmbeddedNats, ledger_url: str) -> None:
    consumers.environment["TOLLWAY_LOG_LEVEL"] = "debug"
    consumer = await consumers.start()
    await kill_server(usage_nats)
    await wait_until(consumer.is_unready, timeout_s=15)
    await consumer.stop()
    await usage_nats.start()
    log = consumers.log.read_text()
    for url in (ledger_url, usage_nats.url()):
        password = re.search(r":([^:@/]+)@", url)
        assert password is not None
        assert password[1] not in log


async def test_postgres_killed_under_load(usage_nats: EmbeddedNats, tmp_path: Path) -> None:
    # Without fsync this server does not wait for its own log either, unless a transaction says so.
    own_postgres = EmbeddedPostgres(tmp_path / "own-postgres", version="18", fsync=False)
    url = await own_postgres.start()
    consumers = ConsumerProcesses(url, usage_nats.url(), tmp_path)
    try:
        await upgrade(url)
        consumer = await consumers.start()
        events = FakeDataPlane(boot_id=1).events(3_000)
        publishing = asyncio.create_task(publish_all(usage_nats.url(), batches(events, 10), pause_s=0.02))
        for _ in range(2):
            await asyncio.sleep(1.0)
            await kill_server(own_postgres)
            await wait_until(consumer.is_unready, timeout_s=15)
            await own_postgres.start()
        await publishing
        await expect_exactly(url, Truth.of(events), timeout_s=30)
        await wait_until(consumer.is_ready, timeout_s=15)
        assert consumer.process.returncode is None
    finally:
        await consumers.stop_all()
        await own_postgres.stop()


async def test_a_taken_port_is_one_clear_line(ledger_url: str, usage_nats: EmbeddedNats, tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    consumers = ConsumerProcesses(ledger_url, usage_nats.url(), tmp_path)
    consumers.environment["TOLLWAY_METRICS_LISTEN"] = f"127.0.0.1:{port}"
    consumer = await consumers.start(wait=False)
    assert await asyncio.wait_for(consumer.process.wait(), 20) == 1
    taken.close()
    [line] = consumers.log.read_text().splitlines()
    assert line.startswith(f"TOLLWAY_METRICS_LISTEN: cannot listen on 127.0.0.1:{port}")
