"""`tollctl up` as it is started otherwise than by default: on stores of one's own, by an ordinary user, and refused."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest

from tests.integration.local.rights import ORDINARY_UID, find_python_for_all, owner_of
from tests.integration.local.running import call_demo, pids_of, refusal_of, running_up
from tollctl.local.ports import find_free_port


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


async def test_two_flags_with_one_port_are_refused(tmp_path: Path) -> None:
    port = str(find_free_port())
    ports = ("--port", port, "--admin-port", port, "--grpc-port", "0", "--metrics-port", "0")
    async with running_up(tmp_path / "state", ports=ports) as up:
        assert await refusal_of(up) == (f"tollctl up: port {port} is asked for twice: choose another --admin-port")


async def test_a_wrong_manifest_ends_the_start_and_leaves_nothing(
    tmp_path: Path, priced_url: str, nats_url: str
) -> None:
    manifest = tmp_path / "wrong.yaml"
    manifest.write_text("apiVersion: tollway/v1\nkind: Team\nmetadata: {name: growth}\nspec: {colour: red}\n")
    stores = ("--database-url", priced_url, "--nats-url", nats_url, "--no-demo")
    async with running_up(tmp_path / "state", *stores, "--config", str(manifest)) as up:
        assert await up.wait_end() == 1
        assert "colour" in up.text
        assert "wrong.yaml" in up.text
