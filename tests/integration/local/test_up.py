"""`tollctl up` with all its services: first call, restarts, kills, refusals."""

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.integration.local.rights import ORDINARY_UID, as_root, find_python_for_all, owner_of
from tests.integration.local.running import RunningUp, descend, pids_of, running_up, wait_gone
from tollctl.local.ports import find_free_port

SERVICES = ("dataplane", "controlplane", "consumer", "sim", "postgres", "nats")


async def call_demo(stack: Any, model: str = "sim/echo") -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "one two"}]}
    headers = {"authorization": f"Bearer {stack['demo_key']}"}
    url = f"{stack['openai_base_url']}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()


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


async def test_the_first_call_works_as_pasted_and_state_survives(tmp_path: Path) -> None:
    data_dir = tmp_path / "state"
    async with running_up(data_dir) as up:
        await up.wait_up()
        first = up.stack
        assert stat.S_IMODE((data_dir / "stack.json").stat().st_mode) == 0o600
        assert sorted(first["pids"]) == sorted(SERVICES)
        assert all(Path(f"/proc/{pid}").exists() for pid in pids_of(first))
        pasted = subprocess.run(["/bin/sh", "-c", "\n".join(up.curl)], capture_output=True, timeout=20)
        assert json.loads(pasted.stdout)["choices"][0]["message"]["content"] == "Hello, Tollway!"
        await until(lambda: has_booked(first, 1), "the first call in the ledger")
        family = descend(up.process.pid)
        assert await up.stop() == 0
        await wait_gone(family, 0)
        assert not (data_dir / "stack.json").exists()
        assert not leaks(data_dir / "logs", first)
    async with running_up(data_dir) as up:
        await up.wait_up()
        second = up.stack
        for name in ("demo_key", "admin_token", "openai_base_url", "sim_url", "database_url", "nats_url"):
            assert second[name] == first[name]
        assert (await call_demo(second))[0] == 200
        await until(lambda: has_booked(second, 2), "both calls in the ledger")
        for secret in (first["admin_token"], first["plane_token"]):
            assert secret not in up.text
        assert await up.stop() == 0


def leaks(logs: Path, stack: Any) -> list[str]:
    """Log files that hold a secret of the stack."""
    secrets = [stack[name] for name in ("admin_token", "plane_token", "demo_key")]
    secrets += [url.split("@")[0].rsplit(":", 1)[1] for url in (stack["database_url"], stack["nats_url"])]
    return [log.name for log in logs.iterdir() if any(secret in log.read_text() for secret in secrets)]


async def has_booked(stack: Any, requests: int) -> bool:
    return await count_requests(stack) == requests


async def test_nothing_outlives_a_killed_parent_and_a_restart_works(tmp_path: Path) -> None:
    async with running_up(tmp_path / "state") as up:
        await up.wait_up()
        family = descend(up.process.pid)
        assert len(family) > len(SERVICES)
        up.process.kill()
        await up.process.wait()
        await wait_gone(family)
    async with running_up(tmp_path / "state") as up:
        await up.wait_up()
        assert (await call_demo(up.stack))[0] == 200
        assert await up.stop() == 0


async def test_a_service_that_dies_comes_back_on_its_port(tmp_path: Path) -> None:
    async with running_up(tmp_path / "state") as up:
        await up.wait_up()
        before = up.stack
        for name in SERVICES:
            os.kill(before["pids"][name], signal.SIGKILL)
        await until(lambda: not set(pids_of(before)) & set(pids_of(up.stack)), "new process ids")
        after = up.stack
        assert {**after, "pids": None} == {**before, "pids": None}
        await until(lambda: answers(after), "a call that works again", 30)
        await until(lambda: books_more(after, 0), "a booked call", 30)
        assert await up.stop() == 0


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


async def test_a_second_stack_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with running_up(tmp_path / "state") as up:
        await until((tmp_path / "state" / "secrets.json").exists, "the first one's lock")
        async with running_up(tmp_path / "state") as second:
            line = await refusal_of(second)
        assert f"process {up.process.pid}" in line
        assert "--data-dir" in line
        await up.wait_up()
        assert await up.stop() == 0


async def test_a_taken_port_is_one_line_with_its_flag(tmp_path: Path) -> None:
    port = find_free_port()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    try:
        ports = ("--port", "0", "--admin-port", str(port), "--grpc-port", "0", "--metrics-port", "0")
        async with running_up(tmp_path / "state", ports=ports) as up:
            assert await refusal_of(up) == (
                f"tollctl up: port {port} is in use: stop what listens there, or choose another --admin-port"
            )
    finally:
        server.close()
        await server.wait_closed()


async def refusal_of(up: RunningUp) -> str:
    """What it said before it ended in error, which must be one line."""
    began = time.monotonic()
    assert await up.wait_end() == 1
    assert time.monotonic() - began < 15
    (line,) = [line for line in up.lines if line.startswith("tollctl up:")]
    assert up.lines[-1] == line
    return line


@pytest.mark.parametrize(
    ("flag", "url", "said"),
    [
        ("--database-url", "mysql://u:hidden@h/d", "--database-url is not the URL"),
        ("--database-url", "postgresql://u:hidden@127.0.0.1:1/d", "127.0.0.1:1/d"),
        ("--nats-url", "nats://u:hidden@127.0.0.1:1", "no NATS server answers at 127.0.0.1:1"),
    ],
)
async def test_a_store_that_is_not_there_is_one_line(tmp_path: Path, flag: str, url: str, said: str) -> None:
    async with running_up(tmp_path / "state", flag, url) as up:
        line = await refusal_of(up)
        assert said in line
        assert "hidden" not in up.text


async def test_stores_of_one_s_own_are_used(tmp_path: Path, database_url: str, nats_url: str) -> None:
    arguments = ("--database-url", database_url, "--nats-url", nats_url, "--no-demo")
    async with running_up(tmp_path / "state", *arguments) as up:
        await up.wait_up()
        stack = up.stack
        assert stack["database_url"] == database_url
        assert stack["nats_url"] == nats_url
        assert [name for name, pid in stack["pids"].items() if pid is None] == ["sim", "postgres", "nats"]
        assert stack["demo_key"] is None
        assert up.curl == [f"curl {stack['openai_base_url'].removesuffix('/v1')}/livez"]
        assert await up.stop() == 0
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") > 3
    await connection.close()


async def test_manifests_are_applied_and_a_made_key_is_shown_once(tmp_path: Path) -> None:
    manifest = tmp_path / "team.yaml"
    manifest.write_text(
        "apiVersion: tollway/v1\nkind: VirtualKey\nmetadata: {name: k, team: growth}\nspec: {}\n"
        "---\napiVersion: tollway/v1\nkind: Team\nmetadata: {name: growth}\nspec: {}\n"
    )
    async with running_up(tmp_path / "state", "--config", str(manifest)) as up:
        await up.wait_up()
        (shown,) = [line for line in up.lines if "has the secret" in line]
        key = shown.split("has the secret ")[1].split()[0]
        status, _ = await call_demo({**up.stack, "demo_key": key})
        assert status == 200
        assert await up.stop() == 0
    async with running_up(tmp_path / "state", "--config", str(manifest)) as up:
        await up.wait_up()
        assert "has the secret" not in up.text
        assert await up.stop() == 0


async def test_a_wrong_manifest_ends_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "wrong.yaml"
    manifest.write_text("apiVersion: tollway/v1\nkind: Team\nmetadata: {name: growth}\nspec: {colour: red}\n")
    async with running_up(tmp_path / "state", "--config", str(manifest)) as up:
        assert await up.wait_end() == 1
        assert "colour" in up.text
        assert "wrong.yaml" in up.text


@as_root
async def test_root_runs_it_below_a_private_folder() -> None:
    with tempfile.TemporaryDirectory() as parent:
        private = Path(parent, "private")
        private.mkdir(0o700)
        async with running_up(private / "state") as up:
            await up.wait_up()
            assert (await call_demo(up.stack))[0] == 200
            assert owner_of(up.stack["pids"]["postgres"]) != 0
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
            assert await up.stop() == 0


async def test_an_ordinary_user_runs_it() -> None:
    uid = ORDINARY_UID if os.geteuid() == 0 else None
    parent = Path(tempfile.mkdtemp())
    parent.chmod(0o755)
    home = parent / "home"
    home.mkdir(0o700)
    if uid is not None:
        os.chown(home, uid, uid)
    try:
        async with running_up(home / "state", python=find_python_for_all(), uid=uid) as up:
            await up.wait_up()
            assert (await call_demo(up.stack))[0] == 200
            assert {owner_of(pid) for pid in pids_of(up.stack)} == {uid or os.geteuid()}
            assert await up.stop() == 0
    finally:
        shutil.rmtree(parent)


async def test_two_flags_with_one_port_are_refused(tmp_path: Path) -> None:
    port = str(find_free_port())
    ports = ("--port", port, "--admin-port", port, "--grpc-port", "0", "--metrics-port", "0")
    async with running_up(tmp_path / "state", ports=ports) as up:
        assert await refusal_of(up) == (f"tollctl up: port {port} is asked for twice: choose another --admin-port")


async def test_a_stop_lets_running_calls_end_and_a_second_signal_does_not(tmp_path: Path) -> None:
    async with running_up(tmp_path / "state") as up:
        await up.wait_up()
        stack = up.stack
        stream = asyncio.create_task(read_stream(stack, "sim/stream-20", 40))
        await until(lambda: is_serving(stack), "a running stream")
        assert await up.stop() == 0
        words, ending = await stream
        assert (words, ending) == (40, "[DONE]")
    async with running_up(tmp_path / "state") as up:
        await up.wait_up()
        stack, family = up.stack, descend(up.process.pid)
        stream = asyncio.create_task(read_stream(stack, "sim/stream-1", 600))
        await until(lambda: is_serving(stack), "a running stream")
        up.process.send_signal(signal.SIGINT)
        await up.wait_line("stopping")
        up.process.send_signal(signal.SIGINT)
        assert await up.wait_end() == 130
        await wait_gone(family, 0)
        assert (await stream)[1] != "[DONE]"


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
