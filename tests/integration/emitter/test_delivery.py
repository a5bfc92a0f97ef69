import asyncio
import logging
import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.emitter.conftest import (
    assert_complete,
    eventually,
    jetstream,
    make_stream,
    publishing,
    stored_sequences,
)
from tollctl.local.nats import EmbeddedNats
from tollway.kernel.subjects import USAGE_STREAM


async def test_a_lone_event_is_stored_at_once_under_its_message_id(server: EmbeddedNats, boot_id: int) -> None:
    await make_stream(server.url())
    async with publishing(server.url()) as usage:
        await usage.link.wait_connected()
        started_s = time.monotonic()
        usage.emit(1)
        await eventually(lambda: usage.emitter.unpublished_events == 0)
        assert time.monotonic() - started_s < 1.0

    async with jetstream(server.url()) as js:
        message = await js.get_msg(USAGE_STREAM, seq=1)
    assert message.subject == "tollway.usage.v1.test-node"
    assert (message.headers or {})["Nats-Msg-Id"] == f"{boot_id}:1-1"


async def test_events_wait_for_a_stream_that_comes_later(server: EmbeddedNats) -> None:
    async with publishing(server.url()) as usage:
        await usage.link.wait_connected()
        usage.emit(1_000)
        await eventually(lambda: usage.publisher.retries > 2)
        assert usage.emitter.unpublished_events == 1_000

        await make_stream(server.url())
        assert await usage.emitter.flush(20) == 0

    assert_complete(await stored_sequences(server.url()), 1_000)


async def test_events_wait_for_a_server_that_comes_later(server: EmbeddedNats) -> None:
    await make_stream(server.url())
    await server.stop()
    async with publishing(server.url()) as usage:
        usage.emit(1_000)
        assert await usage.emitter.flush(0.5) == 1_000

        await server.start()
        assert await usage.emitter.flush(20) == 0

    assert_complete(await stored_sequences(server.url()), 1_000)


async def test_the_connection_is_back_soon_after_a_long_outage(server: EmbeddedNats) -> None:
    async with publishing(server.url()) as usage:
        await usage.link.wait_connected()
        await server.stop()
        await eventually(lambda: not usage.link.is_connected)
        with pytest.raises(TimeoutError):
            await eventually(lambda: usage.link.is_connected, timeout_s=3)

        await server.start()
        await eventually(lambda: usage.link.is_connected, timeout_s=2)


async def test_nothing_is_lost_when_the_server_is_killed_again_and_again_under_load(server: EmbeddedNats) -> None:
    await make_stream(server.url())
    calls = 0
    async with publishing(server.url()) as usage:
        await usage.link.wait_connected()
        for _ in range(3):
            for step in range(100):
                usage.emit(60)
                calls += 60
                await asyncio.sleep(0.005)
                if step == 50:
                    server.kill()
                    await server.wait()
            await server.start()
            await eventually(lambda: usage.link.is_connected)
        assert await usage.emitter.flush(30) == 0

    assert_complete(await stored_sequences(server.url()), calls)


async def test_a_server_that_hangs_is_noticed_and_nothing_is_lost(server: EmbeddedNats) -> None:
    await make_stream(server.url())
    pid = server.pid
    assert pid is not None
    async with publishing(server.url()) as usage:
        usage.emit(500)
        assert await usage.emitter.flush(10) == 0

        os.kill(pid, signal.SIGSTOP)
        try:
            usage.emit(20_000)
            await eventually(lambda: not usage.link.is_connected, timeout_s=10)
            usage.emit(20_000)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await usage.emitter.flush(30) == 0

    assert_complete(await stored_sequences(server.url()), 40_500)


async def test_stopping_while_the_server_hangs_is_bounded(server: EmbeddedNats) -> None:
    await make_stream(server.url())
    pid = server.pid
    assert pid is not None
    try:
        async with publishing(server.url()) as usage:
            await usage.link.wait_connected()
            os.kill(pid, signal.SIGSTOP)
            usage.emit(10_000)
            assert await usage.emitter.flush(1.0) == 10_000
            started_s = time.monotonic()
        assert time.monotonic() - started_s < 5.0
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_full_stream_holds_events_back_and_loses_none(server: EmbeddedNats) -> None:
    await make_stream(server.url(), max_messages=3)
    async with publishing(server.url()) as usage:
        usage.emit(5_000)
        await eventually(lambda: usage.outbox.delivered_events > 0 and usage.publisher.retries > 20)
        assert usage.emitter.unpublished_events > 0

        await make_stream(server.url(), max_messages=-1)
        assert await usage.emitter.flush(30) == 0

    assert_complete(await stored_sequences(server.url()), 5_000)


async def test_a_hundred_thousand_events_outlast_an_outage(server: EmbeddedNats) -> None:
    await make_stream(server.url())
    await server.stop()
    async with publishing(server.url()) as usage:
        for _ in range(100):
            usage.emit(1_000)
            await asyncio.sleep(0)
        assert usage.emitter.unpublished_events == 100_000
        assert usage.emitter.has_room(2_048)

        await server.start()
        assert await usage.emitter.flush(60) == 0

    assert_complete(await stored_sequences(server.url()), 100_000)


async def test_credentials_are_never_logged(
    tmp_path: Path, server: EmbeddedNats, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    password = (tmp_path / "nats" / "password").read_text().strip()
    wrong_url = server.url().replace(password, "canary-password")
    async with publishing(wrong_url) as usage:
        usage.emit(1)
        await eventually(lambda: "trouble with NATS" in caplog.text)
        assert not usage.link.is_connected
    async with publishing(server.url()) as usage:
        await usage.link.wait_connected()
        server.kill()
        await eventually(lambda: "lost the connection" in caplog.text)

    assert "Authorization Violation" in caplog.text
    assert "canary-password" not in caplog.text
    assert password not in caplog.text
