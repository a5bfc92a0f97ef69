"""The usage stream's settings on a real server."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import RetentionPolicy
from nats.js.errors import APIError

from controlplane.ledger.source import BATCH_MESSAGES, UsageSource, delivery_of
from controlplane.ledger.stream import StreamSettings, ensure_stream
from tests.integration.ledger.waiting import wait_until
from tollctl.local.nats import locate_program
from tollctl.local.ports import find_free_port
from tollway.kernel.subjects import USAGE_CONSUMER, USAGE_STREAM, usage_subject

MEBIBYTE = 1 << 20
SETTINGS = StreamSettings(max_bytes=100 * MEBIBYTE, replicas=1)
SUBJECT = usage_subject("test")


@pytest_asyncio.fixture
async def small_nats(tmp_path: Path) -> AsyncIterator[str]:
    """A server that has 300 MiB for its streams."""
    port = find_free_port()
    limits = f"{{ store_dir: {json.dumps(str(tmp_path / 'store'))}, max_file_store: {300 * MEBIBYTE} }}"
    configuration = tmp_path / "nats.conf"
    configuration.write_text(f"listen: '127.0.0.1:{port}'\njetstream {limits}\n")
    process = await asyncio.create_subprocess_exec(
        locate_program(), "-c", str(configuration), "-l", str(tmp_path / "nats.log")
    )
    url = f"nats://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            client = await nats.connect(url, allow_reconnect=False)
        except OSError:
            return False
        await client.close()
        return True

    await wait_until(answers, timeout_s=10)
    yield url
    process.terminate()
    await process.wait()


async def test_a_server_with_less_room_gives_what_it_has(small_nats: str, caplog: pytest.LogCaptureFixture) -> None:
    client = await nats.connect(small_nats)
    jetstream = client.jetstream()
    with caplog.at_level(logging.WARNING):
        await ensure_stream(jetstream, StreamSettings(max_bytes=10 << 30, replicas=1))
    max_bytes = (await jetstream.stream_info(USAGE_STREAM)).config.max_bytes
    assert max_bytes is not None
    assert 100 * MEBIBYTE < max_bytes <= 300 * MEBIBYTE
    assert "TOLLWAY_USAGE_STREAM_MAX_BYTES" in caplog.text
    await ensure_stream(jetstream, StreamSettings(max_bytes=10 << 30, replicas=1))
    assert (await jetstream.stream_info(USAGE_STREAM)).config.max_bytes == max_bytes
    await ensure_stream(jetstream, StreamSettings(max_bytes=70 * MEBIBYTE, replicas=1))
    assert (await jetstream.stream_info(USAGE_STREAM)).config.max_bytes == 70 * MEBIBYTE
    await client.close()


async def test_a_stream_that_others_made_differently_is_mended_or_told(client: Client) -> None:
    jetstream = client.jetstream()
    await jetstream.add_stream(name=USAGE_STREAM, subjects=["tollway.usage.v1.>"], retention=RetentionPolicy.WORK_QUEUE)
    await ensure_stream(jetstream, SETTINGS)
    assert (await jetstream.stream_info(USAGE_STREAM)).config.discard == "new"


async def test_replicas_that_a_single_server_cannot_give_are_an_error(client: Client) -> None:
    with pytest.raises(APIError):
        await ensure_stream(client.jetstream(), StreamSettings(max_bytes=100 * MEBIBYTE, replicas=3))


async def test_single_messages_are_handed_out_as_they_come(client: Client) -> None:
    jetstream = client.jetstream()
    await ensure_stream(jetstream, SETTINGS)
    source = UsageSource(client)
    await source.open()
    for number in range(5):
        receiving = asyncio.create_task(_receive_some(source))
        await asyncio.sleep(0)
        await jetstream.publish(SUBJECT, b"%d" % number)
        messages = await asyncio.wait_for(receiving, 1.0)
        assert [message.data for message in messages] == [b"%d" % number]
        assert delivery_of(messages[0]).stream_sequence == number + 1
        await messages[0].ack()


async def test_a_backlog_comes_in_bounded_batches(client: Client) -> None:
    jetstream = client.jetstream()
    await ensure_stream(jetstream, SETTINGS)
    await asyncio.gather(*(jetstream.publish(SUBJECT, b"%d" % number) for number in range(300)))
    source = UsageSource(client)
    await source.open()
    seen: set[bytes] = set()
    while len(seen) < 300:
        messages = await asyncio.wait_for(_receive_some(source), 5.0)
        assert len(messages) <= BATCH_MESSAGES
        for message in messages:
            seen.add(message.data)
            await message.ack()


async def test_a_lost_consumer_is_noticed(client: Client) -> None:
    jetstream = client.jetstream()
    await ensure_stream(jetstream, SETTINGS)
    source = UsageSource(client)
    await source.open()
    receiving = asyncio.create_task(source.receive())
    await asyncio.sleep(0.1)
    await jetstream.delete_consumer(USAGE_STREAM, USAGE_CONSUMER)
    await receiving

    async def is_lost() -> bool:
        await source.receive()
        return source.is_lost

    await wait_until(is_lost, timeout_s=5)


async def _receive_some(source: UsageSource) -> list[Msg]:
    while True:
        if messages := await source.receive():
            return messages
