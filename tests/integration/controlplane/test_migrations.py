"""The schema on PostgreSQL 16 and 18, and the command that brings it there."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.migrations import SchemaMismatch, head_revision, require_current_schema
from tests.integration.controlplane.admin import open_admin
from tollctl.local.ports import find_free_port
from tollctl.local.postgres import EmbeddedPostgres
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, Team


async def migrate(url: str, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "controlplane.migrate_main",
        env={**os.environ, "TOLLWAY_DATABASE_URL": url, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


@pytest_asyncio.fixture(params=["16", "18"])
async def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", version=request.param, fsync=False)
    await server.start()
    yield server
    await server.stop()


async def test_both_versions_take_the_schema_and_serve(own_server: EmbeddedPostgres) -> None:
    url = own_server.url()
    assert await migrate(url) == (0, f"the database is at revision {head_revision()} now\n", "")
    assert await migrate(url) == (0, f"the database is at revision {head_revision()} already\n", "")
    connection = await asyncpg.connect(url)
    assert [row[0] for row in await connection.fetch("SELECT extname FROM pg_extension")] == ["plpgsql"]
    await connection.close()
    async with open_admin(url) as admin:
        await require_current_schema(admin.rooms.config.database)
        await admin.rooms.prepare()
        assert await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="a"), Team)


async def test_several_at_once_do_it_once(database_url: str) -> None:
    ends = await asyncio.gather(*(migrate(database_url) for _ in range(3)))
    assert [code for code, _, _ in ends] == [0, 0, 0]
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM config_head") == 1
    await connection.close()


async def test_a_wrong_url_ends_in_one_line(database_url: str) -> None:
    nobody = f"postgresql://u:hidden-password@127.0.0.1:{find_free_port()}/x"
    for url, code, says in (
        (nobody, 1, "did not answer within 0.2 s"),
        (database_url.rpartition("/")[0] + "/nowhere", 1, 'database "nowhere" does not exist'),
        (database_url.replace("://tollway:", "://tollway:hidden-password"), 1, "password authentication failed"),
        ("mysql://x", 2, "TOLLWAY_DATABASE_URL: "),
        ("", 2, "TOLLWAY_DATABASE_URL: is required"),
    ):
        returned, stdout, stderr = await migrate(url, TOLLWAY_DATABASE_WAIT_S="0.2")
        assert (returned, stdout, stderr.count("\n")) == (code, "", 1), stderr
        assert says in stderr
        assert "hidden-password" not in stderr


async def test_a_component_tells_what_it_waits_for(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(SchemaMismatch, match="the database is empty, this release needs"):
        await require_current_schema(database)
    await migrate(database_url)
    await require_current_schema(database)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(SchemaMismatch, match="at revision 9999"):
        await require_current_schema(database)
    assert "newer than" in (await migrate(database_url))[2]
    await database.close()
    away = Database(f"postgresql://u:p@127.0.0.1:{find_free_port()}/x")
    with pytest.raises(Unavailable):
        await require_current_schema(away)
    await away.close()
