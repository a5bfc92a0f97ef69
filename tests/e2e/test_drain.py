"""A second data plane beside the stack's own: it serves the same configuration, and leaves without harm."""

import asyncio
import os
import secrets
import signal
import sys

import aiohttp

from tests.e2e.stack import Admin, Stack, eventually
from tests.e2e.traffic import Tally, ledger_equals_truth, send_mixed
from tollctl.local.ports import find_free_port


async def _start_dataplane(stack: Stack, port: int) -> asyncio.subprocess.Process:
    info = stack.info
    environment = {
        "TOLLWAY_CONTROLPLANE_ADDRESS": info["grpc_address"],
        "TOLLWAY_NATS_URL": info["nats_url"],
        "TOLLWAY_PLANE_TOKEN": info["plane_token"],
        "TOLLWAY_LISTEN": f"127.0.0.1:{port}",
        "TOLLWAY_METRICS_LISTEN": "127.0.0.1:0",
        "TOLLWAY_NODE": f"second-{port}",
        "TOLLWAY_DRAIN_DELAY_S": "1",
        "TOLLWAY_SPOOL_DIR": str(stack.folder / f"spool-{port}"),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dataplane.main", env={**os.environ, **environment}
    )


async def _is_ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def test_sigterm_under_load_cuts_nothing_and_every_event_arrives(stack: Stack, admin: Admin) -> None:
    team = f"drain-{secrets.token_hex(3)}"
    keys = {team: await admin.create_team(team)}
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    process = await _start_dataplane(stack, port)
    try:
        await eventually(lambda: _is_ready(url), 20, "the second data plane")
        await eventually(lambda: _is_in_fleet(admin, f"dataplanes/second-{port}"), 5, "the fleet to show it")
        tally, slow = Tally(), Tally()
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                part = await send_mixed(url, keys, 40, seed=secrets.randbits(32), concurrency=8)
                for status, count in part.statuses.items():
                    tally.statuses[status] = tally.statuses.get(status, 0) + count
                tally.broken_streams += part.broken_streams

        async def long_stream() -> None:
            body = {
                "model": "sim/stream-20",
                "messages": [{"role": "user", "content": "x"}],
                "stream": True,
                "user": team,
            }
            headers = {"authorization": f"Bearer {keys[team]}"}
            async with (
                aiohttp.ClientSession(url) as session,
                session.post("/v1/chat/completions", json=body, headers=headers) as response,
            ):
                text = await response.text()
                slow.add(response.status if text.endswith("data: [DONE]\n\n") else 0)

        loads = [asyncio.create_task(load()) for _ in range(2)]
        streams = [asyncio.create_task(long_stream()) for _ in range(10)]
        await asyncio.sleep(1)
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: _refuses(url), 5, "readiness to fail")
        stop.set()
        await asyncio.gather(*loads, *streams)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert set(tally.statuses) == {200}, tally
        assert tally.broken_streams == 0
        assert slow == Tally({200: 10})
        await ledger_equals_truth(stack, admin, [team], within_s=10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_in_fleet(admin: Admin, name: str) -> bool:
    return any(plane["name"] == name for plane in (await admin.call("GET", "/v1/dataplanes"))["data_planes"])


async def _refuses(url: str) -> bool:
    return not await _is_ready(url)
