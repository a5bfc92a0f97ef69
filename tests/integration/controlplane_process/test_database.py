"""The database goes away and comes back under a running control plane."""

import re
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.integration.controlplane_process.process import Site, eventually
from tests.integration.controlplane_process.test_life import Subscriber
from tollctl.local.postgres import EmbeddedPostgres


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda url: re.sub(r":[^:@/]+@", ":hunter2@", url), "password authentication failed"),
        (lambda url: f"{url.rpartition('/')[0]}/nowhere", 'database "nowhere" does not exist'),
        (lambda url: f"{url}?connect_timeout=5", '"connect_timeout"'),
    ],
)
async def test_a_database_that_does_not_take_it_in_is_told_in_one_line(
    empty_site: Site, database_url: str, spoil: Callable[[str], str], says: str
) -> None:
    plane = await empty_site.spawn(TOLLWAY_DATABASE_URL=spoil(database_url))
    assert await plane.ended() == 1
    [line] = [line for line in plane.lines if line.startswith("TOLLWAY_DATABASE_URL: 127.0.0.1:")]
    assert says in line
    assert "Traceback" not in plane.log
    assert "hunter2" not in plane.log


async def test_it_outlives_its_database(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, fsync=False)
    await server.start()
    site = Site(server.url())
    try:
        await site.migrate()
        plane = await site.start()
        await server.stop()
        status, body = await plane.call("GET", "/v1/teams")
        assert (status, body["error"]["status"]) == (503, "UNAVAILABLE")
        assert (await plane.readiness())[0] == 200
        async with grpc.aio.insecure_channel(plane.grpc) as channel:
            subscriber = Subscriber(channel)
            assert (await subscriber.next_update()).cursor.revision == 1
            await server.start()

            async def works() -> bool:
                return (await plane.call("POST", "/v1/teams?team_id=a", {}))[0] == 200

            await eventually(works, 15)
            await subscriber.until_revision(2)
        assert await plane.stop() == 0
        assert "Traceback" not in plane.log
    finally:
        await site.close()
        await server.stop()
