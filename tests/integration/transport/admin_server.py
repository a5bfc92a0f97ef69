"""The admin API on real sockets, with handlers that keep teams in a dict."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import CollectorRegistry

from controlplane.authz import AdminPrincipal, Handler, StreamHandler
from controlplane.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from controlplane.telemetry import Telemetry
from controlplane.transport.authentication import TokenAuthenticator
from controlplane.transport.comments import admin_comments
from controlplane.transport.gate import AdminGate
from controlplane.transport.grpc_app import SERVER_OPTIONS, ServiceHealth, add_admin_services, add_reflection
from controlplane.transport.listeners import listen_grpc, listen_http
from controlplane.transport.methods import AdminMethod, admin_methods, bind
from controlplane.transport.openapi import openapi_document
from controlplane.transport.readiness import Readiness
from controlplane.transport.rest_app import rest_app
from controlplane.transport.tls import Certificates
from tollway.admin.v1.teams_pb2 import (
    CreateTeamRequest,
    DeleteTeamRequest,
    GetTeamRequest,
    ListTeamsRequest,
    ListTeamsResponse,
    Team,
    UpdateTeamRequest,
)
from tollway.admin.v1.usage_pb2 import ExportUsageRequest
from tollway.resources.violations import Violation
from tollway.settings import Address, Secret, TlsFiles, Variable

TOKEN = "twa_0123456789abcdefghij"
BODY_TIMEOUT_S = 0.5
LISTEN = Variable("TOLLWAY_ADMIN_LISTEN", "host:port", "test")
_LOOPBACK = Address("127.0.0.1", 0)
_TEAM_SERVICE = "tollway.admin.v1.TeamService"
_EXPORT = "tollway.admin.v1.UsageService/ExportUsage"


@dataclass(frozen=True, slots=True)
class AdminServer:
    """`url` and `grpc_address` are where it is; `seen` holds the last request of each method."""

    url: str
    grpc_address: str
    readiness: Readiness
    health: ServiceHealth
    seen: dict[str, Message]
    certificates: Certificates | None


class TeamRoom:
    """Teams in memory; a method of any other service answers its empty response, and an export two parts.

    An export whose filter is "early" fails before its first part, one whose filter is "late" after it.
    """

    def __init__(self) -> None:
        self.teams: dict[str, Team] = {}
        self.seen: dict[str, Message] = {}

    def handlers(self) -> dict[str, Handler | StreamHandler]:
        handlers: dict[str, Handler | StreamHandler] = {
            method.name: self._recorded(method, _empty_answer(method)) for method in admin_methods()
        }
        own = {"CreateTeam": self._create, "GetTeam": self._get, "ListTeams": self._list, "UpdateTeam": self._update}
        for method in admin_methods():
            handler = own.get(method.short_name)
            if method.service == _TEAM_SERVICE and handler is not None:
                handlers[method.name] = self._recorded(method, handler)
        handlers[f"{_TEAM_SERVICE}/DeleteTeam"] = self._delete
        handlers[_EXPORT] = self._export
        return handlers

    def _recorded(self, method: AdminMethod, handler: Handler) -> Handler:
        async def serve(principal: AdminPrincipal, request: Message) -> Message:
            self.seen[method.short_name] = request
            return await handler(principal, request)

        return serve

    async def _export(self, _: AdminPrincipal, message: Message) -> AsyncGenerator[Message, None]:
        request = cast(ExportUsageRequest, message)
        self.seen["ExportUsage"] = request
        if request.filter == "early":
            raise InvalidArgument([Violation("filter", "is early")])
        yield HttpBody(content_type="text/csv; charset=utf-8", data=b"a,b\r\n")
        if request.filter == "late":
            raise FailedPrecondition("took too long")
        yield HttpBody(data=b"1,2\r\n")

    async def _create(self, _: AdminPrincipal, message: Message) -> Message:
        request = cast(CreateTeamRequest, message)
        name = f"teams/{request.team_id}"
        if name in self.teams:
            raise AlreadyExists(f"{name} exists already", resource=name)
        if request.team_id == "broken":
            raise KeyError("internal-detail")
        team = Team(name=name, display_name=request.team.display_name, etag="1")
        self.teams[name] = team
        return team

    async def _get(self, _: AdminPrincipal, message: Message) -> Message:
        name = cast(GetTeamRequest, message).name
        if name not in self.teams:
            raise NotFound(f"{name} does not exist", resource=name)
        return self.teams[name]

    async def _list(self, _: AdminPrincipal, message: Message) -> Message:
        if cast(ListTeamsRequest, message).page_size < 0:
            raise InvalidArgument([Violation(f"field{n}", "too small " * 50) for n in range(500)])
        return ListTeamsResponse(teams=self.teams.values())

    async def _update(self, _: AdminPrincipal, message: Message) -> Message:
        request = cast(UpdateTeamRequest, message)
        if request.team.etag not in ("", "1"):
            raise Aborted("the etag is not the current one", resource=request.team.name)
        return request.team

    async def _delete(self, _: AdminPrincipal, message: Message) -> Message:
        name = cast(DeleteTeamRequest, message).name
        if name == "teams/busy":
            raise FailedPrecondition(f"{name} has keys", resource=name)
        self.teams.pop(name, None)
        return Empty()


def _empty_answer(method: AdminMethod) -> Handler:
    answer_class = GetMessageClass(method.descriptor.output_type)

    async def answer(_: AdminPrincipal, __: Message) -> Message:
        return answer_class()

    return answer


def _document() -> bytes:
    return openapi_document(admin_methods(), admin_comments())


@asynccontextmanager
async def admin_server(tls: TlsFiles | None = None) -> AsyncIterator[AdminServer]:
    """Serves on free ports of the loopback interface."""
    room, readiness = TeamRoom(), Readiness("")
    certificates = None if tls is None else Certificates(tls)
    gate = AdminGate(TokenAuthenticator(Secret(TOKEN)), readiness, Telemetry(CollectorRegistry()))
    methods = bind(admin_methods(), room.handlers())
    app = rest_app(methods, gate, readiness, _document, body_timeout_s=BODY_TIMEOUT_S)
    rest = await listen_http(app, LISTEN, _LOOPBACK, tls=None if certificates is None else certificates.rest_context)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    services = add_admin_services(server, methods, gate)
    add_reflection(server, services)
    health = ServiceHealth(server, services, readiness)
    address = listen_grpc(server, LISTEN, _LOOPBACK, None if certificates is None else certificates.grpc_credentials())
    await server.start()
    await health.publish()
    scheme = "http" if tls is None else "https"
    yield AdminServer(f"{scheme}://{rest.address}", str(address), readiness, health, room.seen, certificates)
    await server.stop(0)
    await rest.close()
