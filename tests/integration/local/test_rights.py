"""Who may run the embedded PostgreSQL, and where: a user, root, root below a private folder; and never an orphan."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.integration.local.held_server import __file__ as held_server_file
from tests.integration.local.rights import ORDINARY_UID, as_root, find_python_for_all, owner_of
from tests.integration.local.running import descend, wait_gone
from tollctl.local.pgruntime import copy_tree, find_tree, is_open_to_all
from tollctl.local.postgres import EmbeddedPostgres

ROOT = Path(held_server_file).resolve().parents[3]


@contextmanager
def held_server(folder: Path, python: str, uid: int | None = None) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A process that holds a server in folder, and what it said about it."""
    packages = next(entry for entry in sys.path if entry.endswith("site-packages"))
    process = subprocess.Popen(
        [python, held_server_file, str(folder)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), packages])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


async def answer(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT 42")
    finally:
        await connection.close()


async def test_an_ordinary_user_runs_it_as_himself() -> None:
    uid = ORDINARY_UID if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as parent:
        home = Path(parent, "home")
        home.mkdir(0o700)
        Path(parent).chmod(0o755)
        if uid is not None:
            os.chown(home, uid, uid)
        with held_server(home / "pg", find_python_for_all(), uid) as (_, server):
            assert owner_of(server["pid"]) == (uid or os.geteuid())
            assert await answer(server["url"]) == 42


@as_root
async def test_root_below_a_private_folder_leaves_its_mode_alone() -> None:
    with tempfile.TemporaryDirectory() as parent:
        private = Path(parent, "private")
        private.mkdir(0o700)
        before = [folder.stat().st_mode for folder in (private, *private.parents)]
        server = EmbeddedPostgres(private / "state" / "pg", fsync=False)
        try:
            assert await answer(await server.start()) == 42
            assert server.pid is not None and owner_of(server.pid) != 0
        finally:
            await server.stop()
        assert [folder.stat().st_mode for folder in (private, *private.parents)] == before
        assert stat.S_IMODE((private / "state" / "pg").stat().st_mode) == 0o700


@as_root
async def test_the_data_belong_to_no_account_and_the_password_to_root(postgres_server: EmbeddedPostgres) -> None:
    assert postgres_server.pid is not None
    folder = Path(f"/proc/{postgres_server.pid}/cwd").resolve()
    assert folder.stat().st_uid == owner_of(postgres_server.pid)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    password = folder.parent / "password"
    assert (password.stat().st_uid, stat.S_IMODE(password.stat().st_mode)) == (0, 0o600)


@as_root
def test_programs_are_copied_whole_to_where_all_may_run_them(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as parent:
        Path(parent).chmod(0o755)
        tree = copy_tree(find_tree("18"), [tmp_path / "closed", Path(parent, "open")])
        assert tree.is_relative_to(parent) and is_open_to_all(tree)
        again = copy_tree(find_tree("18"), [Path(parent, "open")])
        assert again == tree
        shown = subprocess.run([tree / "bin" / "initdb", "--version"], capture_output=True, user=ORDINARY_UID)
        assert shown.stdout.startswith(b"initdb (PostgreSQL) 18")
        assert all(path.stat().st_uid == 0 for path in tree.rglob("*"))


async def test_no_server_outlives_a_killed_parent(tmp_path: Path) -> None:
    with held_server(tmp_path / "pg", sys.executable) as (process, server):
        family = [server["pid"], *descend(server["pid"])]
        assert len(family) > 3
        process.send_signal(signal.SIGKILL)
        process.wait(5)
        await wait_gone(family)
    with held_server(tmp_path / "pg", sys.executable) as (_, server):
        assert await answer(server["url"]) == 42


async def test_a_process_id_that_is_another_process_by_now_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", fsync=False)
    await server.start()
    server.kill()
    await server.wait()
    lock = tmp_path / "pg" / "data" / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    try:
        assert await answer(await server.start()) == 42
    finally:
        await server.stop()
