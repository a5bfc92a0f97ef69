"""The gate: order of checks, and what becomes of errors."""

import logging
from collections.abc import Sequence

import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from controlplane.authz import AdminPrincipal, Handler
from controlplane.errors import ControlPlaneError, InvalidArgument, NotFound, Unauthenticated, Unavailable
from controlplane.telemetry import Telemetry
from controlplane.transport.authentication import TokenAuthenticator
from controlplane.transport.gate import AdminGate, Origin
from controlplane.transport.methods import BoundMethod, admin_methods
from controlplane.transport.readiness import Readiness
from controlplane.transport.statuses import Internal
from tollway.admin.v1.teams_pb2 import GetTeamRequest, Team
from tollway.settings import Secret

TOKEN = "twa_0123456789abcdefghij"
GET_TEAM = next(method for method in admin_methods() if method.short_name == "GetTeam")


class Scene:
    """A gate with one method, whose handler raises `error` or answers."""

    def __init__(self, error: BaseException | None = None, readiness: str = "") -> None:
        self.error = error
        self.principals: list[AdminPrincipal] = []
        self.reads = 0
        self.registry = CollectorRegistry()
        ready = Readiness(readiness)
        self.gate = AdminGate(TokenAuthenticator(Secret(TOKEN)), ready, Telemetry(self.registry))

    async def call(self, headers: Sequence[str] = (f"Bearer {TOKEN}",), name: str = "teams/a") -> Message:
        return await self.gate.call(
            BoundMethod(GET_TEAM, self._handler()), Origin(headers, "peer"), lambda: self._read(name)
        )

    def count(self, code: str) -> float | None:
        return self.registry.get_sample_value("tollway_admin_requests_total", {"method": "GetTeam", "code": code})

    async def _read(self, name: str) -> Message:
        self.reads += 1
        return GetTeamRequest(name=name)

    def _handler(self) -> Handler:
        async def get_team(principal: AdminPrincipal, request: Message) -> Message:
            self.principals.append(principal)
            if self.error is not None:
                raise self.error
            assert isinstance(request, GetTeamRequest)
            return Team(name=request.name)

        return get_team


async def test_a_handler_gets_the_principal_with_its_method() -> None:
    scene = Scene()
    assert await scene.call() == Team(name="teams/a")
    assert scene.principals == [AdminPrincipal("bootstrap", "tollway.admin.v1.TeamService/GetTeam")]
    assert scene.count("OK") == 1


async def test_nothing_is_read_for_a_caller_who_is_not_known() -> None:
    scene = Scene()
    with pytest.raises(Unauthenticated):
        await scene.call(headers=())
    assert (scene.reads, scene.principals) == (0, [])
    assert scene.count("UNAUTHENTICATED") == 1


async def test_a_process_that_is_not_ready_says_why() -> None:
    scene = Scene(readiness="the database is empty: run tollway-migrate")
    with pytest.raises(Unavailable, match="run tollway-migrate"):
        await scene.call()
    assert scene.count("UNAVAILABLE") == 1


async def test_text_that_cannot_be_stored_never_reaches_a_handler() -> None:
    scene = Scene()
    with pytest.raises(InvalidArgument, match="NUL"):
        await scene.call(name="teams/\x00")
    assert scene.principals == []


@pytest.mark.parametrize(
    ("error", "shown", "code"),
    [
        (NotFound("teams/a does not exist"), NotFound, "NOT_FOUND"),
        (ConnectionRefusedError("10.0.0.1:5432 secret"), Unavailable, "UNAVAILABLE"),
        (TimeoutError(), Unavailable, "UNAVAILABLE"),
        (ValueError("secret internals"), Internal, "INTERNAL"),
        (RecursionError(), Internal, "INTERNAL"),
    ],
)
async def test_errors_are_told_without_internals(
    error: Exception, shown: type[ControlPlaneError], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(error)
    with caplog.at_level(logging.WARNING), pytest.raises(shown) as caught:
        await scene.call()
    assert "secret" not in caught.value.message
    assert scene.count(code) == 1


async def test_an_unknown_error_is_logged_under_the_incident_that_the_caller_sees(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(Internal) as caught:
        await Scene(ValueError("internals")).call()
    incident = caught.value.message.rpartition(" ")[2]
    assert len(incident) == 32
    assert incident in caplog.text
