"""Several control planes on one database: revisions follow commits, and no update is lost."""

import asyncio

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.discovery.source import ConfigSource
from controlplane.discovery.state import ConfigState
from controlplane.errors import (
    Aborted,
    AlreadyExists,
    ControlPlaneError,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
)
from tests.integration.controlplane.admin import Admin, manifest, migrate, open_admin
from tollctl.local.postgres import EmbeddedPostgres
from tollway.admin.v1.audit_pb2 import ListAuditEventsRequest, ListAuditEventsResponse
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse
from tollway.admin.v1.routes_pb2 import CreateRouteRequest, Route, Target
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, GetTeamRequest, Team, UpdateTeamRequest
from tollway.admin.v1.upstreams_pb2 import CreateUpstreamRequest, DeleteUpstreamRequest, Upstream


async def create(admin: Admin, team_id: str) -> Team:
    return await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id=team_id), Team)


async def read(admin: Admin, name: str) -> Team:
    return await admin.call("TeamService/GetTeam", GetTeamRequest(name=name), Team)


async def count_up(admin: Admin, name: str, times: int) -> None:
    """Read, add one, write with the etag that was read; again when another was faster."""
    for _ in range(times):
        while True:
            team = await read(admin, name)
            value = str(int(team.labels.get("count", "0")) + 1)
            given = Team(name=name, etag=team.etag, labels={"count": value})
            request = UpdateTeamRequest(team=given, update_mask=FieldMask(paths=["labels.count"]))
            try:
                await admin.call("TeamService/UpdateTeam", request, Team)
                break
            except Aborted:
                continue


async def test_no_update_is_lost(admin: Admin, config_url: str) -> None:
    team = await create(admin, "growth")
    async with open_admin(config_url) as other:
        await asyncio.gather(*(count_up(one, team.name, 8) for one in (admin, other, admin, other)))
    assert (await read(admin, team.name)).labels["count"] == "32"


async def test_a_name_is_created_once(admin: Admin, config_url: str) -> None:
    async with open_admin(config_url) as other:
        calls = [create(one, "growth") for one in (admin, other) * 5]
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(end, Team) for end in ends) == 1
    assert sum(isinstance(end, AlreadyExists) for end in ends) == 9


async def test_a_request_id_works_once_across_control_planes(admin: Admin, config_url: str) -> None:
    request = CreateTeamRequest(team_id="growth", request_id="same")
    async with open_admin(config_url) as other:
        calls = [one.call("TeamService/CreateTeam", request, Team) for one in (admin, other) * 3]
        answers = await asyncio.gather(*calls)
    assert len({answer.uid for answer in answers}) == 1


async def test_a_reference_and_a_deletion_never_both_succeed(admin: Admin, config_url: str) -> None:
    async with open_admin(config_url) as other:
        for number in range(8):
            name = f"u{number}"
            upstream = Upstream(provider="sim", base_url="http://127.0.0.1:9")
            creation = CreateUpstreamRequest(upstream_id=name, upstream=upstream)
            await admin.call("UpstreamService/CreateUpstream", creation, Upstream)
            route = CreateRouteRequest(route_id=name, route=Route(targets=[Target(upstream=name)]))
            ends = await asyncio.gather(
                admin.call("RouteService/CreateRoute", route, Route),
                other.call("UpstreamService/DeleteUpstream", DeleteUpstreamRequest(name=f"upstreams/{name}"), Empty),
                return_exceptions=True,
            )
            refused = [end for end in ends if isinstance(end, InvalidArgument | FailedPrecondition)]
            assert len(refused) == 1


async def test_a_reader_that_follows_revisions_misses_nothing(admin: Admin, config_url: str) -> None:
    """Commits follow revisions: a change never appears below a revision that was seen already."""
    source = ConfigSource(admin.rooms.config, admin.rooms.vault)
    seen: set[str] = set()
    done = asyncio.Event()

    async def follow() -> None:
        state: ConfigState | None = None
        while True:
            last = done.is_set()
            before = None if state is None else state.cursor
            state = await source.refresh(state)
            seen.update(resource.name for resource in state.update_since(before).upserts)
            if last:
                return

    async def write(one: Admin, prefix: str) -> None:
        for number in range(15):
            await create(one, f"{prefix}{number}")

    async with open_admin(config_url) as other:
        follower = asyncio.create_task(follow())
        await asyncio.gather(write(admin, "a"), write(other, "b"), write(admin, "c"), write(other, "d"))
        done.set()
        await follower
    assert seen == {f"teams/{prefix}{number}" for prefix in "abcd" for number in range(15)}


async def test_every_revision_is_in_the_audit_log_once(admin: Admin, config_url: str) -> None:
    async with open_admin(config_url) as other:
        await asyncio.gather(*(create(one, f"t{n}{i}") for n in range(10) for i, one in enumerate((admin, other))))
    request = ListAuditEventsRequest(page_size=500)
    listed = await admin.call("AuditService/ListAuditEvents", request, ListAuditEventsResponse)
    assert [event.revision for event in listed.audit_events] == list(range(20, 0, -1))


async def test_two_applies_at_once_give_one_of_them(admin: Admin, config_url: str) -> None:
    def wanted(weight: int) -> ApplyManifestsRequest:
        targets = [{"upstream": "sim", "model": "echo", "weight": weight}]
        return ApplyManifestsRequest(
            manifests=[
                manifest("Upstream", "sim", {"provider": "sim", "base_url": "http://127.0.0.1:9"}),
                manifest("Route", "chat", {"targets": targets}),
            ]
        )

    async with open_admin(config_url) as other:
        calls = [
            one.call("ManifestService/ApplyManifests", wanted(weight), ApplyManifestsResponse)
            for weight, one in ((1, admin), (2, other), (1, other), (2, admin))
        ]
        answers = await asyncio.gather(*calls)
    made = [[result.action for result in answer.results] for answer in answers]
    assert sum(actions == ["created", "created"] for actions in made) == 1
    assert len({answer.revision for answer in answers}) >= 2


async def test_a_database_that_is_away_is_told_and_mends(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("away"), fsync=False)
    await server.start()
    url = server.url()
    await migrate(url)
    async with open_admin(url) as admin:
        await create(admin, "before")
        await server.stop()
        for _ in range(3):
            with pytest.raises(Unavailable):
                await create(admin, "during")
        await server.start()
        assert await create(admin, "after")
        assert (await read(admin, "teams/before")).name == "teams/before"
    await server.stop()


async def test_a_writer_that_hangs_does_not_block_others_for_ever(config_url: str) -> None:
    database = Database(config_url)
    config = ConfigStore(database)
    async with open_admin(config_url) as admin, config.write():
        with pytest.raises(ControlPlaneError) as refused:
            await create(admin, "growth")
        assert isinstance(refused.value, Unavailable)
    await database.close()
