"""The admin API over gRPC: the same handlers, statuses with details, health and reflection."""

from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from tests.integration.transport.admin_server import TOKEN, AdminServer
from tollway.admin.v1.teams_pb2 import (
    CreateTeamRequest,
    DeleteTeamRequest,
    GetTeamRequest,
    ListTeamsRequest,
    Team,
    UpdateTeamRequest,
)
from tollway.admin.v1.teams_pb2_grpc import TeamServiceStub
from tollway.admin.v1.usage_pb2 import ExportUsageRequest
from tollway.admin.v1.usage_pb2_grpc import UsageServiceStub

METADATA = (("authorization", f"Bearer {TOKEN}"),)


def told(error: grpc.aio.AioRpcError) -> Any:
    """The google.rpc.Status that came with an error."""
    return rpc_status.from_call(cast(grpc.Call, error))


async def test_a_team_lives(server: AdminServer) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        teams = TeamServiceStub(channel)
        request = CreateTeamRequest(team_id="a", team=Team(display_name="A"))
        created = await teams.CreateTeam(request, metadata=METADATA)
        assert created == Team(name="teams/a", display_name="A", etag="1")
        assert await teams.GetTeam(GetTeamRequest(name="teams/a"), metadata=METADATA) == created
        listed = await teams.ListTeams(ListTeamsRequest(), metadata=METADATA)
        assert list(listed.teams) == [created]


async def test_errors_carry_code_and_details(server: AdminServer) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        teams = TeamServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await teams.GetTeam(GetTeamRequest(name="teams/absent"), metadata=METADATA)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        status = told(caught.value)
        info, resource = error_details_pb2.ErrorInfo(), error_details_pb2.ResourceInfo()
        assert status.details[0].Unpack(info)
        assert (info.reason, info.domain) == ("NOT_FOUND", "tollway")
        assert status.details[1].Unpack(resource)
        assert resource.resource_name == "teams/absent"
        for call, code in (
            (teams.DeleteTeam(DeleteTeamRequest(name="teams/busy"), metadata=METADATA), "FAILED_PRECONDITION"),
            (teams.UpdateTeam(UpdateTeamRequest(team=Team(etag="old")), metadata=METADATA), "ABORTED"),
            (teams.CreateTeam(CreateTeamRequest(team_id="broken"), metadata=METADATA), "INTERNAL"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code().name == code
            assert "internal-detail" not in str(caught.value)


async def test_many_violations_still_arrive_as_invalid_argument(server: AdminServer) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TeamServiceStub(channel).ListTeams(ListTeamsRequest(page_size=-1), metadata=METADATA)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad_request = error_details_pb2.BadRequest()
    assert told(caught.value).details[-1].Unpack(bad_request)
    assert bad_request.field_violations[0].field == "field0"
    assert "more violations" in bad_request.field_violations[-1].description


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer nonsense"),), (*METADATA, *METADATA)])
async def test_without_the_token_nothing_is_told(server: AdminServer, metadata: tuple[tuple[str, str], ...]) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await TeamServiceStub(channel).ListTeams(ListTeamsRequest(), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert server.seen == {}


async def test_bytes_that_are_no_message_are_an_invalid_argument(server: AdminServer) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary("/tollway.admin.v1.TeamService/GetTeam", bytes, bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", metadata=METADATA)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_health_follows_readiness(server: AdminServer) -> None:
    states = health_pb2.HealthCheckResponse
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tollway.admin.v1.TeamService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == states.SERVING
        server.readiness.set_reason("stopping")
        await server.health.publish()
        answer = await health.Check(health_pb2.HealthCheckRequest(service="tollway.admin.v1.TeamService"))
        assert answer.status == states.NOT_SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services_and_their_files(server: AdminServer, version: str) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tollway.admin.v1.TeamService"),
    ]
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed, found = [answer async for answer in call(iter(requests))]
    names = {service.name for service in listed.list_services_response.service}
    assert {"tollway.admin.v1.TeamService", "tollway.admin.v1.UsageService", "grpc.health.v1.Health"} <= names
    assert found.file_descriptor_response.file_descriptor_proto


async def test_an_export_is_a_stream_of_parts(server: AdminServer) -> None:
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        usage = UsageServiceStub(channel)
        parts = [part async for part in usage.ExportUsage(ExportUsageRequest(), metadata=METADATA)]
        assert b"".join(part.data for part in parts) == b"a,b\r\n1,2\r\n"
        for text, code in (("early", "INVALID_ARGUMENT"), ("late", "FAILED_PRECONDITION")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in usage.ExportUsage(ExportUsageRequest(filter=text), metadata=METADATA):
                    pass
            assert caught.value.code().name == code
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(usage.ExportUsage(ExportUsageRequest())))
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
