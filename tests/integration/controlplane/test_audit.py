"""Every change is in the audit log, written by the transaction that made it."""

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict

from controlplane.errors import AlreadyExists, InvalidArgument
from tests.integration.controlplane.admin import Admin, manifest
from tollway.admin.v1.audit_pb2 import AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, DeleteTeamRequest, Team, UpdateTeamRequest


async def events(admin: Admin, **fields: object) -> list[AuditEvent]:
    request = ListAuditEventsRequest(**fields)  # type: ignore[arg-type]
    page = await admin.call("AuditService/ListAuditEvents", request, ListAuditEventsResponse)
    return list(page.audit_events)


async def create(admin: Admin, team_id: str, **fields: object) -> Team:
    request = CreateTeamRequest(team_id=team_id, **fields)  # type: ignore[arg-type]
    return await admin.call("TeamService/CreateTeam", request, Team)


async def test_before_and_after_of_every_change(admin: Admin) -> None:
    created = await create(admin, "growth", team=Team(display_name="one"), request_id="r1")
    update = UpdateTeamRequest(team=Team(name=created.name, display_name="two"))
    await admin.call("TeamService/UpdateTeam", update, Team)
    await admin.call("TeamService/UpdateTeam", update, Team)
    await admin.call("TeamService/DeleteTeam", DeleteTeamRequest(name=created.name), Empty)
    with pytest.raises(AlreadyExists):
        await create(admin, "other")
        await create(admin, "other")
    await create(admin, "dry", validate_only=True)
    other, deleted, updated, first = await events(admin)
    assert [e.method.rpartition("/")[2] for e in (first, updated, deleted, other)] == [
        "CreateTeam",
        "UpdateTeam",
        "DeleteTeam",
        "CreateTeam",
    ]
    assert (first.principal, first.resource, first.request_id) == ("tester", "teams/growth", "r1")
    assert not first.HasField("before")
    assert MessageToDict(first.after) == {
        "name": "teams/growth",
        "uid": created.uid,
        "etag": created.etag,
        "display_name": "one",
    }
    assert (updated.before["display_name"], updated.after["display_name"]) == ("one", "two")
    assert deleted.before["display_name"] == "two"
    assert not deleted.HasField("after")
    assert first.revision < updated.revision < deleted.revision < other.revision


async def test_each_resource_of_an_apply_has_its_event(admin: Admin) -> None:
    request = ApplyManifestsRequest(manifests=[manifest("Team", "a"), manifest("Team", "b")])
    answer = await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
    assert [(e.resource, e.revision) for e in await events(admin)] == [
        ("teams/b", answer.revision),
        ("teams/a", answer.revision),
    ]


async def test_filters_and_pages(admin: Admin) -> None:
    for team_id in ("a", "b", "c"):
        await create(admin, team_id)
    await create(Admin(admin.rooms, "ann"), "d")
    assert [e.resource for e in await events(admin, filter='principal = "ann"')] == ["teams/d"]
    assert [e.resource for e in await events(admin, filter='resource = "teams/a" AND principal = "tester"')] == [
        "teams/a"
    ]
    assert await events(admin, filter='resource = "teams/a" AND principal = "ann"') == []
    request = ListAuditEventsRequest(page_size=3)
    first = await admin.call("AuditService/ListAuditEvents", request, ListAuditEventsResponse)
    assert [e.resource for e in first.audit_events] == ["teams/d", "teams/c", "teams/b"]
    request.page_token = first.next_page_token
    second = await admin.call("AuditService/ListAuditEvents", request, ListAuditEventsResponse)
    assert ([e.resource for e in second.audit_events], second.next_page_token) == (["teams/a"], "")
    with pytest.raises(InvalidArgument, match="page_token"):
        await events(admin, filter='principal = "ann"', page_token=first.next_page_token)
    with pytest.raises(InvalidArgument, match="filter"):
        await events(admin, filter="colour = red")
