"""Spans of admin calls, shown by a collector; none without an endpoint."""

from tests.fakes.otlp import attributes, collecting
from tests.integration.controlplane_process.process import ADMIN_TOKEN, Site

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


async def test_an_admin_call_is_a_server_span_below_the_callers(site: Site) -> None:
    async with collecting() as collector:
        plane = await site.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
        async with plane.session() as session:
            async with session.post("/v1/teams?team_id=a", json={}, headers=headers) as response:
                assert response.status == 200
            async with session.get("/v1/teams/absent") as response:
                assert response.status == 404
        assert await plane.stop() == 0
    created = collector.named("tollway.admin.v1.TeamService/CreateTeam")
    assert (created.trace_id.hex(), created.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(created) == {
        "rpc.system": "grpc",
        "rpc.service": "tollway.admin.v1.TeamService",
        "rpc.method": "CreateTeam",
    }
    absent = collector.named("tollway.admin.v1.TeamService/GetTeam")
    assert attributes(absent)["error.type"] == "NOT_FOUND"
    assert collector.resources[0]["service.name"] == "tollway-controlplane"
    assert not any(ADMIN_TOKEN.encode() in body for body in collector.bodies)


async def test_a_wrong_protocol_is_named(site: Site) -> None:
    plane = await site.spawn(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4317", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert await plane.ended() == 2
    assert plane.log.startswith("OTEL_EXPORTER_OTLP_PROTOCOL: ")
