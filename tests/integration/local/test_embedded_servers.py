"""The embedded servers: they start, keep state, mend after a crash, and answer only with their password."""

from pathlib import Path

import asyncpg
import nats
import pytest

from tollctl.local.errors import LocalError, PortTaken
from tollctl.local.nats import EmbeddedNats
from tollctl.local.postgres import EmbeddedPostgres


@pytest.mark.parametrize("version", ["16", "18"])
async def test_postgres_keeps_state_over_stop_and_crash(tmp_path: Path, version: str) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", version=version, fsync=False)
    url = await server.start()
    try:
        connection = await asyncpg.connect(url)
        assert str(await connection.fetchval("SHOW server_version")).startswith(version)
        await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        await connection.close()
        await server.stop()
        assert server.pid is None
        assert await server.start() == url
        server.kill()
        await server.wait()
        assert await server.start() == url
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()
    finally:
        await server.stop()


async def test_postgres_refuses_a_wrong_password(postgres_server: EmbeddedPostgres) -> None:
    url = postgres_server.url().replace("tollway:", "tollway:not", 1)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


async def test_postgres_refuses_data_of_another_version(tmp_path: Path) -> None:
    first = EmbeddedPostgres(tmp_path / "pg", version="16", fsync=False)
    await first.start()
    await first.stop()
    with pytest.raises(LocalError, match="made by PostgreSQL 16, this is 18"):
        await EmbeddedPostgres(tmp_path / "pg", version="18", fsync=False).start()


async def test_each_test_has_an_empty_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    count = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert count == 0


async def test_nats_keeps_its_streams_over_a_crash(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path / "nats")
    url = await server.start()
    try:
        client = await nats.connect(url)
        stream = client.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        await stream.publish("kept", b"one")
        await client.close()
        server.kill()
        await server.wait()
        assert await server.start() == url
        client = await nats.connect(url)
        info = await client.jetstream().stream_info("KEPT")
        assert info.state.messages == 1
        await client.close()
    finally:
        await server.stop()


async def test_nats_refuses_a_wrong_password(nats_url: str) -> None:
    with pytest.raises(nats.errors.Error):
        await nats.connect(nats_url.replace("tollway:", "tollway:not", 1), allow_reconnect=False, connect_timeout=2)


async def test_a_taken_port_is_named(nats_server: EmbeddedNats, tmp_path: Path) -> None:
    with pytest.raises(PortTaken, match=f"port {nats_server.port} for NATS"):
        await EmbeddedNats(tmp_path / "nats", port=nats_server.port).start()
