"""The database goes away and comes back under a running control plane."""

from pathlib import Path

import grpc

from tests.integration.controlplane_process.process import Site, eventually
from tests.integration.controlplane_process.test_life import Subscriber
from tollctl.local.postgres import EmbeddedPostgres


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
