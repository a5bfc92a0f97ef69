"""Every method of the schema has exactly one handler, and a REST form."""

import pytest
from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.transport.methods import BindingError, admin_methods, bind


async def answer_request(_: AdminPrincipal, request: Message) -> Message:
    return request


def handlers() -> dict[str, Handler]:
    return {method.name: answer_request for method in admin_methods()}


def test_all_services_of_the_schema_are_found() -> None:
    found = {method.service.rpartition(".")[2] for method in admin_methods()}
    assert found >= {
        "TeamService",
        "VirtualKeyService",
        "UpstreamService",
        "RouteService",
        "PriceService",
        "MetadataKeyService",
        "ManifestService",
        "UsageService",
        "UsageRecordService",
        "FleetService",
        "AuditService",
    }


def test_rest_forms_are_distinct() -> None:
    forms = [(rule.verb, rule.template.documented_path()) for method in admin_methods() for rule in method.rules]
    assert len(forms) == len(set(forms))
    assert ("POST", "/v1/teams/{team}/keys/{key}:rotate") in forms
    assert ("POST", "/v1/manifests:apply") in forms


def test_each_method_gets_its_handler() -> None:
    bound = bind(admin_methods(), handlers())
    assert {each.method.name for each in bound} == set(handlers())


def test_a_method_without_handler_stops_the_start() -> None:
    given = handlers()
    del given["tollway.admin.v1.TeamService/CreateTeam"]
    with pytest.raises(BindingError, match=r"TeamService/CreateTeam has no handler"):
        bind(admin_methods(), given)


def test_a_handler_without_method_stops_the_start() -> None:
    given = handlers() | {"tollway.admin.v1.TeamService/PaintTeam": answer_request}
    with pytest.raises(BindingError, match=r"TeamService/PaintTeam is no method"):
        bind(admin_methods(), given)
