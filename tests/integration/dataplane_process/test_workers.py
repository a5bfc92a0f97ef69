import asyncio
import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.integration.dataplane_process.conftest import DataPlaneProcess, Site, status_of
from tests.integration.emitter.conftest import eventually, stored_sequences

BODY = {"model": "sim/echo", "messages": [{"role": "user", "content": "a b"}]}


def children(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child) for child in found.split()}


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def metrics(plane: DataPlaneProcess) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{plane.metrics_url}/metrics") as response:
        assert response.headers["content-type"].startswith("text/plain")
        return await response.text()


async def call(plane: DataPlaneProcess) -> int:
    """One call on a connection of its own."""
    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=BODY) as response:
        return response.status


async def test_metrics_are_the_sum_of_all_workers_and_nodes_are_told_apart(site: Site) -> None:
    plane = await site.start(TOLLWAY_WORKERS="2")

    assert {await call(plane) for _ in range(40)} == {200}

    assert 'tollway_requests_total{endpoint="chat_completions",model="other",provider="sim"' in await metrics(plane)
    found = re.search(r'tollway_requests_total\{.*status="2xx".*\} (\S+)', await metrics(plane))
    assert found is not None
    assert float(found[1]) == 40
    assert {"serving node=node-w1", "serving node=node-w2"} <= set(re.findall(r"serving node=node-w\d", plane.log))


async def test_a_worker_that_dies_is_replaced_while_the_port_stays_open(site: Site) -> None:
    plane = await site.start(TOLLWAY_WORKERS="2")
    before = children(plane.process.pid)
    victim = min(before)

    os.kill(victim, signal.SIGKILL)

    await eventually(lambda: not is_alive(victim))
    assert {await call(plane) for _ in range(20)} == {200}
    await eventually(lambda: len(children(plane.process.pid) - {victim}) == 2)
    await eventually(lambda: is_ready(plane))
    assert "worker ended and is started again" in plane.log
    plane.terminate()
    assert await plane.wait() == 0, plane.log
    assert len(await stored_sequences(site.nats.url())) == 20


async def test_no_worker_outlives_its_parent_and_a_call_that_ends_soon_is_not_cut(site: Site) -> None:
    plane = await site.start(TOLLWAY_WORKERS="2", TOLLWAY_DRAIN_DELAY_S="60")
    workers = children(plane.process.pid)
    assert {await call(plane) for _ in range(5)} == {200}
    body = {"model": "sim/stream-100", "messages": BODY["messages"], "stream": True}

    async with plane.session() as session, session.post(f"{plane.api_url}/v1/chat/completions", json=body) as response:
        await response.content.readany()
        plane.process.kill()
        assert (await response.text()).endswith("data: [DONE]\n\n")

    await eventually(lambda: not any(is_alive(pid) for pid in workers), timeout_s=8)
    await eventually(lambda: plane.log.count("stopped node=node-w") == 2)
    assert len(await stored_sequences(site.nats.url())) == 6


async def test_manifests_that_are_bad_at_start_stop_all_workers_with_what_is_wrong(site: Site) -> None:
    site.config.write_text("{apiVersion: tollway/v1, kind: Team, metadata: {name: a}, spec: {colour: red}}")
    for workers in ("1", "2"):
        plane = await site.spawn(TOLLWAY_WORKERS=workers)

        assert await plane.wait() == 2
        assert plane.reading is not None
        await plane.reading
        errors = {line for line in plane.lines if "INFO" not in line}
        assert len(errors) == 1
        assert "TOLLWAY_CONFIG_FILE: " in plane.log
        assert "colour" in plane.log


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("variable", ["TOLLWAY_LISTEN", "TOLLWAY_METRICS_LISTEN"])
async def test_a_taken_port_is_one_line_that_names_it(site: Site, variable: str, workers: str) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plane = await site.spawn(**{variable: f"127.0.0.1:{port}", "TOLLWAY_WORKERS": workers})

    assert await plane.wait() == 1
    assert plane.reading is not None
    await plane.reading
    assert plane.lines == [
        f"{variable}: port {port} is taken; stop what listens on 127.0.0.1:{port}, or set another port"
    ]
    server.close()


async def is_ready(plane: DataPlaneProcess) -> bool:
    return await status_of(f"{plane.metrics_url}/readyz") == 200
