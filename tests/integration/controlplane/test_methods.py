"""The standard methods, on teams, upstreams and routes."""

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from controlplane.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tests.integration.controlplane.admin import Admin
from tollway.admin.v1.prices_pb2 import CreatePriceRequest, Price, Rate
from tollway.admin.v1.routes_pb2 import CreateRouteRequest, Route, Target, UpdateRouteRequest
from tollway.admin.v1.teams_pb2 import (
    CreateTeamRequest,
    DeleteTeamRequest,
    GetTeamRequest,
    ListTeamsRequest,
    ListTeamsResponse,
    Team,
    UpdateTeamRequest,
)
from tollway.admin.v1.upstreams_pb2 import CreateUpstreamRequest, DeleteUpstreamRequest, Upstream


async def create_team(admin: Admin, team_id: str, **fields: object) -> Team:
    request = CreateTeamRequest(team_id=team_id, team=Team(**fields))  # type: ignore[arg-type]
    return await admin.call("TeamService/CreateTeam", request, Team)


async def get_team(admin: Admin, name: str) -> Team:
    return await admin.call("TeamService/GetTeam", GetTeamRequest(name=name), Team)


async def update_team(admin: Admin, team: Team, *paths: str, **fields: object) -> Team:
    mask = FieldMask(paths=paths) if paths else None
    request = UpdateTeamRequest(team=team, update_mask=mask, **fields)  # type: ignore[arg-type]
    return await admin.call("TeamService/UpdateTeam", request, Team)


async def delete_team(admin: Admin, name: str, **fields: object) -> None:
    request = DeleteTeamRequest(name=name, **fields)  # type: ignore[arg-type]
    await admin.call("TeamService/DeleteTeam", request, Empty)


async def create_upstream(admin: Admin, upstream_id: str) -> None:
    upstream = Upstream(provider="sim", base_url="http://127.0.0.1:9/v1/")
    request = CreateUpstreamRequest(upstream_id=upstream_id, upstream=upstream)
    created = await admin.call("UpstreamService/CreateUpstream", request, Upstream)
    assert created.base_url == "http://127.0.0.1:9/v1"


async def create_route(admin: Admin, route_id: str, *upstreams: str, model: str = "") -> Route:
    route = Route(model=model, targets=[Target(upstream=name) for name in upstreams])
    return await admin.call("RouteService/CreateRoute", CreateRouteRequest(route_id=route_id, route=route), Route)


async def head(admin: Admin) -> int:
    async with admin.rooms.config.read() as view:
        return view.head.revision


async def test_what_is_created_can_be_read(admin: Admin) -> None:
    created = await create_team(admin, "growth", display_name="Growth", labels={"cost": "12"}, uid="mine", etag="mine")
    assert created.name == "teams/growth"
    assert created.uid not in ("", "mine")
    assert created.etag not in ("", "mine")
    assert created.create_time == created.update_time
    assert created.create_time.seconds > 0
    assert await get_team(admin, "teams/growth") == created


async def test_create_refuses_a_taken_name_and_a_bad_id(admin: Admin) -> None:
    await create_team(admin, "growth")
    with pytest.raises(AlreadyExists, match="teams/growth"):
        await create_team(admin, "growth")
    for bad in ("", "UPPER", "a/b", "-a", "a" * 64):
        with pytest.raises(InvalidArgument, match="team_id"):
            await create_team(admin, bad)


async def test_what_does_not_exist(admin: Admin) -> None:
    with pytest.raises(NotFound, match="teams/nobody"):
        await get_team(admin, "teams/nobody")
    with pytest.raises(NotFound):
        await update_team(admin, Team(name="teams/nobody"))
    with pytest.raises(NotFound):
        await delete_team(admin, "teams/nobody")
    await delete_team(admin, "teams/nobody", allow_missing=True)
    for bad in ("", "x", "routes/x", "teams/a/keys/b"):
        with pytest.raises(InvalidArgument, match="name"):
            await get_team(admin, bad)


async def test_update_changes_only_what_it_names(admin: Admin) -> None:
    created = await create_team(admin, "growth", display_name="Growth", labels={"a": "1", "b": "2"})
    changed = await update_team(admin, Team(name=created.name, display_name="New"))
    assert (changed.display_name, dict(changed.labels)) == ("New", {"a": "1", "b": "2"})
    assert changed.etag != created.etag
    assert changed.uid == created.uid
    assert changed.update_time.ToMicroseconds() > changed.create_time.ToMicroseconds()
    cleared = await update_team(admin, Team(name=created.name, labels={"a": "9"}), "display_name", "labels.a")
    assert (cleared.display_name, dict(cleared.labels)) == ("", {"a": "9", "b": "2"})
    with pytest.raises(InvalidArgument, match="update_mask"):
        await update_team(admin, cleared, "colour")


async def test_a_change_that_changes_nothing_makes_no_revision(admin: Admin) -> None:
    created = await create_team(admin, "growth", display_name="Growth")
    before = await head(admin)
    assert await update_team(admin, Team(name=created.name, display_name="Growth")) == created
    assert await update_team(admin, created, "*") == created
    assert await head(admin) == before


async def test_a_stale_etag_is_refused(admin: Admin) -> None:
    created = await create_team(admin, "growth")
    changed = await update_team(admin, Team(name=created.name, display_name="1", etag=created.etag))
    with pytest.raises(Aborted, match="read it again"):
        await update_team(admin, Team(name=created.name, display_name="2", etag=created.etag))
    with pytest.raises(Aborted):
        await delete_team(admin, created.name, etag=created.etag)
    await delete_team(admin, created.name, etag=changed.etag)


async def test_validate_only_changes_nothing(admin: Admin) -> None:
    before = await head(admin)
    request = CreateTeamRequest(team_id="growth", team=Team(display_name="x"), validate_only=True)
    would_be = await admin.call("TeamService/CreateTeam", request, Team)
    assert would_be.name == "teams/growth"
    with pytest.raises(NotFound):
        await get_team(admin, "teams/growth")
    created = await create_team(admin, "growth")
    await update_team(admin, Team(name=created.name, display_name="y"), validate_only=True)
    await delete_team(admin, created.name, validate_only=True)
    assert await get_team(admin, created.name) == created
    assert await head(admin) == before + 1
    with pytest.raises(InvalidArgument):
        bad = CreateTeamRequest(team_id="b", team=Team(display_name="\n"), validate_only=True)
        await admin.call("TeamService/CreateTeam", bad, Team)


async def test_allow_missing_creates(admin: Admin) -> None:
    created = await update_team(admin, Team(name="teams/growth", display_name="x"), allow_missing=True)
    assert await get_team(admin, "teams/growth") == created
    with pytest.raises(InvalidArgument):
        await update_team(admin, Team(name="teams/other", display_name="\n"), allow_missing=True)


async def test_a_name_can_be_used_again_and_is_another_incarnation(admin: Admin) -> None:
    first = await create_team(admin, "growth", display_name="first")
    await delete_team(admin, first.name)
    second = await create_team(admin, "growth")
    assert second.uid != first.uid
    assert second.display_name == ""


async def test_pages_are_complete_and_in_order(admin: Admin) -> None:
    ids = ["a", "a-b", "a.b", "a0", "b", "z_z"]
    for team_id in reversed(ids):
        await create_team(admin, team_id)
    seen: list[str] = []
    token = ""
    while True:
        page = await admin.call(
            "TeamService/ListTeams", ListTeamsRequest(page_size=2, page_token=token), ListTeamsResponse
        )
        assert len(page.teams) <= 2
        seen += [team.name for team in page.teams]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(f"teams/{team_id}" for team_id in ids)
    with pytest.raises(InvalidArgument, match="page_token"):
        await admin.call("TeamService/ListTeams", ListTeamsRequest(page_token="zzz"), ListTeamsResponse)


async def test_a_referenced_resource_cannot_be_deleted(admin: Admin) -> None:
    await create_upstream(admin, "sim")
    for number in range(7):
        await create_route(admin, f"r{number}", "sim")
    with pytest.raises(FailedPrecondition, match=r"routes/r0, routes/r1, .* and others"):
        await admin.call("UpstreamService/DeleteUpstream", DeleteUpstreamRequest(name="upstreams/sim"), Empty)


async def test_a_reference_must_exist_and_every_violation_comes_at_once(admin: Admin) -> None:
    route = Route(targets=[Target(upstream="ghost"), Target(upstream="upstreams/gone", weight=-1)], display_name="\n")
    with pytest.raises(InvalidArgument) as refused:
        await admin.call("RouteService/CreateRoute", CreateRouteRequest(route_id="r", route=route), Route)
    assert {v.field for v in refused.value.violations} == {
        "route.display_name",
        "route.targets[0].upstream",
        "route.targets[1].upstream",
        "route.targets[1].weight",
    }


async def test_a_model_has_one_route(admin: Admin) -> None:
    await create_upstream(admin, "sim")
    first = await create_route(admin, "chat", "sim")
    assert first.model == "chat"
    with pytest.raises(InvalidArgument, match=r"route\.model: model \"chat\" is served by routes/chat already"):
        await create_route(admin, "other", "sim", model="chat")
    moved = UpdateRouteRequest(route=Route(name=first.name, model="talk"))
    await admin.call("RouteService/UpdateRoute", moved, Route)
    await create_route(admin, "other", "sim", model="chat")


async def test_a_repeated_request_id_gets_the_first_answer(admin: Admin) -> None:
    request = CreateTeamRequest(team_id="growth", team=Team(display_name="x"), request_id="0b9e")
    first = await admin.call("TeamService/CreateTeam", request, Team)
    await update_team(admin, Team(name=first.name, display_name="later"))
    assert await admin.call("TeamService/CreateTeam", request, Team) == first
    other = CreateTeamRequest(team_id="other", request_id="0b9e")
    with pytest.raises(InvalidArgument, match="request_id: was used for a different request"):
        await admin.call("TeamService/CreateTeam", other, Team)
    assert await Admin(admin.rooms, "someone else").call("TeamService/CreateTeam", other, Team)
    with pytest.raises(InvalidArgument, match="request_id"):
        await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="x", request_id="x" * 200), Team)


async def test_a_failed_request_is_not_remembered(admin: Admin) -> None:
    request = CreateTeamRequest(team_id="growth", request_id="1")
    await create_team(admin, "growth")
    with pytest.raises(AlreadyExists):
        await admin.call("TeamService/CreateTeam", request, Team)
    await delete_team(admin, "teams/growth")
    assert await admin.call("TeamService/CreateTeam", request, Team)


async def test_a_price_keeps_its_decimals(admin: Admin) -> None:
    rates = [Rate(meter="input", price_usd="2.5"), Rate(meter="request", price_usd="0.001")]
    request = CreatePriceRequest(price_id="p", price=Price(model="gpt-*", rates=rates))
    created = await admin.call("PriceService/CreatePrice", request, Price)
    assert [(r.meter, r.price_usd, r.per) for r in created.rates] == [
        ("input", "2.5", 1_000_000),
        ("request", "0.001", 1),
    ]
