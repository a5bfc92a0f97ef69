"""One stack on one data directory through its lives: first call, kills, a stop, restarts, and a stop in a hurry."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.local.home import Home, open_home
from tests.integration.local.rights import as_root, owner_of
from tests.integration.local.running import call_demo, descend, pids_of, refusal_of, running_up, wait_gone

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("dataplane", "controlplane", "consumer", "sim", "postgres", "nats")
MANIFEST = (
    "apiVersion: tollway/v1\nkind: VirtualKey\nmetadata: {name: k, team: growth}\nspec: {}\n"
    "---\napiVersion: tollway/v1\nkind: Team\nmetadata: {name: growth}\nspec: {}\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    manifest = folder / "team.yaml"
    manifest.write_text(MANIFEST)
    async with open_home(folder, "--config", str(manifest)) as opened:
        yield opened


async def test_the_first_call_works_as_pasted(home: Home) -> None:
    up = await home.running()
    stack = up.stack
    assert stat.S_IMODE((home.data_dir / "stack.json").stat().st_mode) == 0o600
    assert sorted(stack["pids"]) == sorted(SERVICES)
    assert all(Path(f"/proc/{pid}").exists() for pid in pids_of(stack))
    before = await count_requests(stack)
    pasted = subprocess.run(["/bin/sh", "-c", "\n".join(up.curl)], capture_output=True, timeout=20)
    assert json.loads(pasted.stdout)["choices"][0]["message"]["content"] == "Hello, Tollway!"
    await until(lambda: has_booked(stack, before + 1), "the first call in the ledger")


async def test_a_second_stack_on_the_same_data_is_refused(home: Home) -> None:
    up = await home.running()
    async with running_up(home.data_dir) as second:
        line = await refusal_of(second)
    assert f"process {up.process.pid}" in line
    assert "--data-dir" in line
    assert (await call_demo(up.stack))[0] == 200


@as_root
async def test_root_runs_it_below_a_private_folder(home: Home) -> None:
    up = await home.running()
    assert (await call_demo(up.stack))[0] == 200
    assert owner_of(up.stack["pids"]["postgres"]) != 0
    assert stat.S_IMODE(home.data_dir.parent.stat().st_mode) == 0o700


async def test_a_service_that_dies_comes_back_on_its_port(home: Home) -> None:
    up = await home.running()
    before, booked = up.stack, await count_requests(up.stack)
    for name in SERVICES:
        os.kill(before["pids"][name], signal.SIGKILL)
    await until(lambda: not set(pids_of(before)) & set(pids_of(up.stack)), "new process ids")
    after = up.stack
    assert {**after, "pids": None} == {**before, "pids": None}
    await until(lambda: answers(after), "a call that works again", 30)
    await until(lambda: books_more(after, booked), "a booked call", 30)


async def test_a_stop_lets_running_calls_end_and_state_survives_it(home: Home) -> None:
    up = await home.running()
    first, family = up.stack, descend(up.process.pid)
    stream = asyncio.create_task(read_stream(first, "sim/stream-20", 40))
    await until(lambda: is_serving(first), "a running stream")
    booked = await count_requests(first)
    assert await up.stop() == 0
    assert await stream == (40, "[DONE]")
    await wait_gone(family, 0)
    assert not (home.data_dir / "stack.json").exists()
    assert not leaks(home.data_dir / "logs", first)

    up = await home.running()
    second = up.stack
    for name in ("demo_key", "admin_token", "openai_base_url", "sim_url", "database_url", "nats_url"):
        assert second[name] == first[name]
    assert (await call_demo(second))[0] == 200
    await until(lambda: books_more(second, booked + 1), "the stream and the call in the ledger")
    for secret in (first["admin_token"], first["plane_token"]):
        assert secret not in up.text


async def test_nothing_outlives_a_killed_parent_and_a_restart_works(home: Home) -> None:
    up = await home.running()
    family = descend(up.process.pid)
    assert len(family) > len(SERVICES)
    up.process.kill()
    await up.process.wait()
    await wait_gone(family)
    assert (await call_demo((await home.running()).stack))[0] == 200


async def test_manifests_are_applied_and_a_made_key_is_shown_once(home: Home) -> None:
    up = await home.running()
    (shown,) = [line for life in home.lives for line in life.lines if "has the secret" in line]
    assert shown in home.lives[0].lines
    key = shown.split("has the secret ")[1].split()[0]
    assert (await call_demo({**up.stack, "demo_key": key}))[0] == 200
    if up is home.lives[0]:
        assert await up.stop() == 0
        assert "has the secret" not in (await home.running()).text


async def test_a_second_signal_ends_running_calls(home: Home) -> None:
    up = await home.running()
    stack, family = up.stack, descend(up.process.pid)
    stream = asyncio.create_task(read_stream(stack, "sim/stream-1", 600))
    await until(lambda: is_serving(stack), "a running stream")
    up.process.send_signal(signal.SIGINT)
    await up.wait_line("stopping")
    up.process.send_signal(signal.SIGINT)
    assert await up.wait_end() == 130
    await wait_gone(family, 0)
    assert (await stream)[1] != "[DONE]"


async def count_requests(stack: Any) -> int:
    """Requests that the ledger has booked for the demo team."""
    url = f"{stack['admin_url']}/v1/usage?group_by=team"
    headers = {"authorization": f"Bearer {stack['admin_token']}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        rows = (await response.json()).get("rows") or []
    return sum(int(row["requests"]) for row in rows if row["group"]["team"] in ("demo", "teams/demo"))


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.05)


async def has_booked(stack: Any, requests: int) -> bool:
    return await count_requests(stack) == requests


async def answers(stack: Any) -> bool:
    try:
        return (await call_demo(stack))[0] == 200
    except aiohttp.ClientError:
        return False


async def books_more(stack: Any, than: int) -> bool:
    try:
        return await count_requests(stack) > than
    except aiohttp.ClientError:
        return False


def leaks(logs: Path, stack: Any) -> list[str]:
    """Log files that hold a secret of the stack."""
    secrets = [stack[name] for name in ("admin_token", "plane_token", "demo_key")]
    secrets += [url.split("@")[0].rsplit(":", 1)[1] for url in (stack["database_url"], stack["nats_url"])]
    return [log.name for log in logs.iterdir() if any(secret in log.read_text() for secret in secrets)]


async def read_stream(stack: Any, model: str, words: int) -> tuple[int, str]:
    """How many words came, and the last event; "" where the stream broke off."""
    body = {"model": model, "stream": True, "max_tokens": words, "messages": [{"role": "user", "content": "x"}]}
    headers = {"authorization": f"Bearer {stack['demo_key']}"}
    seen, last = 0, ""
    try:
        url = f"{stack['openai_base_url']}/chat/completions"
        async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as answer:
            async for line in answer.content:
                last = line.decode().removeprefix("data: ").strip() or last
                if last.startswith("{") and line.strip():
                    choices = json.loads(last).get("choices") or [{"delta": {}}]
                    seen += bool(choices[0]["delta"].get("content"))
    except aiohttp.ClientError:
        return seen, ""
    return seen, last


async def is_serving(stack: Any) -> bool:
    """Whether the simulated provider has a call that it has not finished."""
    async with aiohttp.ClientSession() as http, http.get(f"{stack['sim_url']}/stats") as response:
        counts = await response.json()
    return bool(counts["requests"] > counts["completed"] + counts["aborted"])
