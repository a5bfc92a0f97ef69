"""Call by call, the ledger against the provider's own counts, while what carries the usage is killed or emptied."""

import asyncio
import os
import secrets
import signal

import aiohttp
import nats
from nats.js import JetStreamContext

from tests.e2e.stack import Admin, Stack, eventually
from tests.e2e.truth import check_truth, send_told_apart
from tollway.kernel.subjects import USAGE_STREAM

MORE_THAN_A_CONSUMER_HOLDS = 90


async def test_data_plane_killed_mid_stream_again_and_again(stack: Stack, admin: Admin) -> None:
    team = f"t1-{secrets.token_hex(3)}"
    key = await admin.create_team(team)
    load = asyncio.create_task(send_told_apart(stack, key, 2500, seed=1))
    for _ in range(5):
        await asyncio.sleep(1.0)
        pid = stack.kill("dataplane")
        await stack.restarted("dataplane", pid)
        await eventually(lambda: _is_serving(stack), 20, "the data plane to serve")
    seen = await load
    assert len(seen.good) > 200
    assert seen.broken
    await check_truth(stack, team, seen, within_s=20)


async def test_a_stream_that_is_wiped_is_noticed_and_sent_again(stack: Stack, admin: Admin) -> None:
    team = f"t6-{secrets.token_hex(3)}"
    key = await admin.create_team(team)
    log_before = len(stack.log)
    client = await nats.connect(stack.info["nats_url"])
    consumer = int(stack.info["pids"]["consumer"])
    try:
        jetstream = client.jetstream()
        load = asyncio.create_task(send_told_apart(stack, key, 2500, seed=2))
        os.kill(consumer, signal.SIGSTOP)
        await eventually(lambda: _holds_messages(jetstream), 30, "messages in the stream")
        await jetstream.delete_stream(USAGE_STREAM)
        os.kill(consumer, signal.SIGCONT)
        seen = await load
    finally:
        os.kill(consumer, signal.SIGCONT)
        await client.close()
    assert not seen.broken
    await check_truth(stack, team, seen, within_s=30)
    assert "sent again what NATS has lost" in stack.log[log_before:]


async def _holds_messages(jetstream: JetStreamContext) -> bool:
    return (await jetstream.stream_info(USAGE_STREAM)).state.messages > MORE_THAN_A_CONSUMER_HOLDS


async def _is_serving(stack: Stack) -> bool:
    try:
        async with aiohttp.ClientSession() as session:
            base = str(stack.info["openai_base_url"]).removesuffix("/v1")
            async with session.get(f"{base}/readyz") as response:
                return response.status == 200
    except aiohttp.ClientError:
        return False
