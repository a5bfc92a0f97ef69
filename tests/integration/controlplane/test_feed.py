"""The feed: full state, deltas, resumption, and that nothing but its own database can stop it."""

import asyncio
import time
from dataclasses import replace

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from controlplane.discovery.feed import ConfigFeed
from controlplane.discovery.server import FeedServer
from controlplane.discovery.source import ConfigSource
from tests.integration.controlplane.admin import PEPPER, PLANE_TOKEN, Admin, manifest, migrate, open_admin
from tests.integration.controlplane.feed import DEADLINE_S, Subscriber, open_stream, serve_feed, subscribed
from tollctl.local.postgres import EmbeddedPostgres
from tollway.admin.v1.fleet_pb2 import DataPlane, ListDataPlanesRequest, ListDataPlanesResponse
from tollway.admin.v1.keys_pb2 import (
    CreateVirtualKeyRequest,
    IssuedVirtualKey,
    RevokeVirtualKeyRequest,
    RotateVirtualKeyRequest,
    VirtualKey,
)
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, DeleteTeamRequest, Team
from tollway.admin.v1.upstreams_pb2 import (
    CreateUpstreamRequest,
    DeleteUpstreamRequest,
    UpdateUpstreamRequest,
    Upstream,
    UpstreamSecret,
)
from tollway.config.v1.discovery_pb2 import Cursor, Hello, Rejection, SubscribeRequest
from tollway.kernel.keys import key_digest
from tollway.resources.book import build_price_book
from tollway.resources.project import project_key_pepper

KEY = "teams/growth/keys/ci"
BOOK = build_price_book().name


async def create_team(admin: Admin, team_id: str) -> None:
    await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id=team_id), Team)


async def delete_team(admin: Admin, team_id: str) -> None:
    await admin.call("TeamService/DeleteTeam", DeleteTeamRequest(name=f"teams/{team_id}"), Empty)


async def create_key(admin: Admin, key_id: str = "ci") -> str:
    request = CreateVirtualKeyRequest(parent="teams/growth", key_id=key_id)
    issued = await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)
    return issued.secret


async def revoke(admin: Admin, name: str) -> None:
    await admin.call("VirtualKeyService/RevokeVirtualKey", RevokeVirtualKeyRequest(name=name), VirtualKey)


async def fleet(admin: Admin) -> dict[str, DataPlane]:
    answer = await admin.call("FleetService/ListDataPlanes", ListDataPlanesRequest(), ListDataPlanesResponse)
    return {data_plane.name: data_plane for data_plane in answer.data_planes}


async def wait_fleet(admin: Admin, name: str, **fields: object) -> DataPlane:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = (await fleet(admin)).get(name)
            if found is not None and all(getattr(found, field) == value for field, value in fields.items()):
                return found
            await asyncio.sleep(0.05)


async def test_a_stream_that_comes_before_the_first_load_waits_for_it(admin: Admin) -> None:
    server = grpc.aio.server()
    admin.rooms.server.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = open_stream(channel, PLANE_TOKEN)
        await call.write(SubscribeRequest(hello=Hello(node="early")))
        feeding = asyncio.create_task(admin.rooms.feed.run())
        async with asyncio.timeout(DEADLINE_S):
            response = await call.read()
        assert response.reset
        assert response.cursor.revision == admin.rooms.feed.revision
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    admin.rooms.server.close()
    await server.stop(0)


async def test_a_stream_without_a_load_is_sent_to_another_control_plane(admin: Admin) -> None:
    server = grpc.aio.server()
    admin.rooms.server.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = open_stream(channel, PLANE_TOKEN)
        await call.write(SubscribeRequest(hello=Hello(node="early")))
        async with asyncio.timeout(DEADLINE_S):
            assert await call.code() == grpc.StatusCode.UNAVAILABLE
    await server.stop(0)


async def test_a_new_data_plane_gets_everything_and_the_pepper_first(admin: Admin) -> None:
    await admin.rooms.prepare()
    await create_team(admin, "growth")
    secret = await create_key(admin)
    async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
        [response] = plane.responses
        assert (response.reset, response.last_part) == (True, True)
        assert response.upserts[0].key_pepper.pepper == PEPPER.encode()
        assert set(plane.resources) == {"keyPeppers/default", BOOK, "teams/growth", KEY}
        key = plane.resources[KEY].virtual_key
        assert (key.team, key.owner, key.revoked) == ("teams/growth", "teams/growth", False)
        assert [d.digest for d in key.digests] == [key_digest(PEPPER.encode(), secret)]
        assert len(plane.resources[BOOK].price_book.prices) > 50


async def test_changes_come_as_deltas(admin: Admin) -> None:
    await create_team(admin, "growth")
    first = await create_key(admin)
    async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
        await create_team(admin, "other")
        await plane.wait_for(lambda s: "teams/other" in s.resources)
        delta = plane.responses[-1]
        assert (delta.reset, [r.name for r in delta.upserts]) == (False, ["teams/other"])
        await delete_team(admin, "other")
        await plane.wait_for(lambda s: "teams/other" not in s.resources)
        assert list(plane.responses[-1].removals) == ["teams/other"]
        rotation = RotateVirtualKeyRequest(name=KEY)
        second = await admin.call("VirtualKeyService/RotateVirtualKey", rotation, IssuedVirtualKey)
        await plane.wait_for(lambda s: len(s.resources[KEY].virtual_key.digests) == 2)
        digests = {d.digest: d.expire_time_ms for d in plane.resources[KEY].virtual_key.digests}
        assert digests[key_digest(PEPPER.encode(), second.secret)] == 0
        assert digests[key_digest(PEPPER.encode(), first)] > time.time() * 1000
        revisions = [response.cursor.revision for response in plane.responses]
        assert revisions == sorted(set(revisions))


async def test_one_transaction_arrives_as_one_update(admin: Admin) -> None:
    manifests = [manifest("Team", f"t{n}") for n in range(30)]
    async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
        request = ApplyManifestsRequest(manifests=manifests)
        await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
        await plane.wait_for(lambda s: "teams/t0" in s.resources)
        assert len(plane.responses[-1].upserts) == 30


@pytest.mark.parametrize(("notify", "limit_s"), [(True, 1.0), (False, 1.3)])
async def test_revocations_arrive_in_time(config_url: str, notify: bool, limit_s: float) -> None:
    async with open_admin(config_url, notify=notify) as admin:
        await create_team(admin, "growth")
        for number in range(20):
            await create_key(admin, f"k{number}")
        async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
            slowest_s = 0.0
            for number in range(20):
                name = f"teams/growth/keys/k{number}"
                await revoke(admin, name)
                begun = time.monotonic()
                await plane.wait_for(lambda s, name=name: s.resources[name].virtual_key.revoked)  # type: ignore[misc]
                slowest_s = max(slowest_s, time.monotonic() - begun)
            assert slowest_s < limit_s


async def test_a_data_plane_resumes_where_it_was(admin: Admin) -> None:
    await create_team(admin, "stays")
    await create_team(admin, "goes")
    plane = Subscriber()
    async with serve_feed(admin.rooms) as address:
        async with subscribed(address, plane):
            pass
        await create_team(admin, "comes")
        await delete_team(admin, "goes")
        async with subscribed(address):
            await wait_fleet(admin, "dataplanes/node", revision=4)
        async with subscribed(address, plane):
            assert plane.responses[-1].reset is False
            assert {r.name for r in plane.responses[-1].upserts} == {"keyPeppers/default", "teams/comes"}
            assert list(plane.responses[-1].removals) == ["teams/goes"]
        async with subscribed(address, plane):
            assert {r.name for r in plane.responses[-1].upserts} == {"keyPeppers/default"}
    assert set(plane.resources) == {"keyPeppers/default", "teams/stays", "teams/comes"}


async def test_it_resumes_at_another_control_plane_that_was_not_there(admin: Admin, config_url: str) -> None:
    upstream = Upstream(provider="openai", secret=UpstreamSecret(value="sk-1"))
    for upstream_id in ("a", "b"):
        request = CreateUpstreamRequest(upstream_id=upstream_id, upstream=upstream)
        await admin.call("UpstreamService/CreateUpstream", request, Upstream)
    plane = Subscriber()
    async with serve_feed(admin.rooms) as address, subscribed(address, plane):
        assert {"upstreams/a/secret", "upstreams/b/secret"} < set(plane.resources)
    await admin.call("UpstreamService/DeleteUpstream", DeleteUpstreamRequest(name="upstreams/a"), Empty)
    by_ref = Upstream(name="upstreams/b", secret=UpstreamSecret(ref="env:KEY"))
    await admin.call("UpstreamService/UpdateUpstream", UpdateUpstreamRequest(upstream=by_ref), Upstream)
    async with open_admin(config_url) as other, serve_feed(other.rooms) as address, subscribed(address, plane):
        assert plane.responses[-1].reset is False
        assert set(plane.resources) == {"keyPeppers/default", "upstreams/b"}


async def test_another_history_is_sent_whole(admin: Admin) -> None:
    await create_team(admin, "growth")
    async with serve_feed(admin.rooms) as address:
        for cursor in (Cursor(epoch="another", revision=1), Cursor(epoch=admin.rooms.feed.state.epoch, revision=99)):  # type: ignore[union-attr]
            plane = Subscriber()
            plane.cursor = cursor
            async with subscribed(address, plane):
                assert plane.responses[-1].reset is True
                assert "teams/growth" in plane.resources


async def test_big_states_come_in_parts(admin: Admin) -> None:
    for batch in range(3):
        manifests = [
            manifest("Team", f"t{batch}-{n}", {"display_name": "x" * 128, "labels": {"a": "y"}}) for n in range(4000)
        ]
        request = ApplyManifestsRequest(manifests=manifests)
        await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
    async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
        assert len(plane.responses) > 1
        assert [response.last_part for response in plane.responses] == [False] * (len(plane.responses) - 1) + [True]
        assert all(response.ByteSize() <= 1 << 20 for response in plane.responses)
        assert len(plane.resources) == 12_001


async def test_two_control_planes_push_each_others_changes(admin: Admin, config_url: str) -> None:
    async with (
        open_admin(config_url) as other,
        serve_feed(admin.rooms) as first,
        serve_feed(other.rooms) as second,
        subscribed(first, node="one") as one,
        subscribed(second, node="two") as two,
    ):
        await create_team(admin, "by-first")
        await create_team(other, "by-second")
        for plane in (one, two):
            await plane.wait_for(lambda s: {"teams/by-first", "teams/by-second"} <= set(s.resources))
        for anyone in (admin, other):
            revision = two.responses[-1].cursor.revision
            assert (await wait_fleet(anyone, "dataplanes/one", revision=revision)).connected
            assert (await wait_fleet(anyone, "dataplanes/two", revision=revision)).connected


async def test_the_fleet_tells_who_runs_what_and_refuses_what(admin: Admin) -> None:
    await create_team(admin, "growth")
    plane = Subscriber()
    async with serve_feed(admin.rooms) as address:
        plane.rejections = [Rejection(name="teams/growth", revision=1, reason="bad\x00 form")]
        async with subscribed(address, plane):
            shown = await wait_fleet(admin, "dataplanes/node", connected=True, revision=1)
            assert (shown.boot_id, shown.build, shown.lag) == ("7", "test", 0)
            assert [(r.name, r.revision, r.reason) for r in shown.rejections] == [("teams/growth", 1, "bad form")]
            plane.rejections = []
            await create_team(admin, "other")
            mended = await wait_fleet(admin, "dataplanes/node", revision=2)
            assert len(mended.rejections) == 0
        await wait_fleet(admin, "dataplanes/node", connected=False)


async def test_a_wrong_token_and_a_wrong_first_message_are_refused(admin: Admin) -> None:
    async with serve_feed(admin.rooms) as address:
        for token in ("", "wrong", PEPPER):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await Subscriber().follow(address, token=token)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await Subscriber().follow(address, node="")
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_silent_stream_has_heartbeats(admin: Admin) -> None:
    async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
        await plane.wait_for(lambda s: s.heartbeats >= 2, timeout_s=6)
        assert len(plane.responses) == 1


async def test_a_stalled_subscriber_keeps_nobody_waiting(admin: Admin) -> None:
    """One that stops reading is passed by; what it has not read waits as one change, not as a queue."""
    big = {"display_name": "x" * 128, "labels": {f"l{n}": "y" * 128 for n in range(60)}}
    async with serve_feed(admin.rooms) as address, grpc.aio.insecure_channel(address) as channel:
        stalled = open_stream(channel, PLANE_TOKEN)
        await stalled.write(SubscribeRequest(hello=Hello(node="stalled")))
        async with subscribed(address) as quick:
            for batch in range(12):
                request = ApplyManifestsRequest(
                    manifests=[manifest("Team", f"t{n}", {**big, "display_name": str(batch)}) for n in range(60)]
                )
                await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)
                await quick.wait_for(lambda s, batch=batch: s.cursor.revision == batch + 1, timeout_s=2)  # type: ignore[misc]
        received = 0
        async for response in stalled:
            received += response.last_part
            if response.cursor.revision == 12 and response.last_part:
                break
        assert received <= 13
        stalled.cancel()


async def test_the_feed_outlives_its_database(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("feed"), fsync=False)
    await server.start()
    await migrate(server.url())
    async with open_admin(server.url()) as admin:
        await create_team(admin, "before")
        async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
            await server.stop()
            heartbeats = plane.heartbeats
            await plane.wait_for(lambda s: s.heartbeats > heartbeats + 1)
            async with subscribed(address, node="late") as late:
                assert "teams/before" in late.resources
            await server.start()
            await create_team(admin, "after")
            await plane.wait_for(lambda s: "teams/after" in s.resources)
            await create_team(admin, "again")
            begun = time.monotonic()
            await plane.wait_for(lambda s: "teams/again" in s.resources)
            assert time.monotonic() - begun < 1
            await wait_fleet(admin, "dataplanes/node", connected=True)
    await server.stop()


async def test_a_data_plane_is_never_sent_back_by_a_control_plane_that_lags(admin: Admin, config_url: str) -> None:
    """A poll of a minute stands for a control plane that has not seen the last change yet."""
    await create_team(admin, "growth")
    await create_key(admin)
    plane = Subscriber()
    async with open_admin(config_url, notify=False) as lagging:
        rooms = replace(
            lagging.rooms,
            feed=ConfigFeed(
                lagging.rooms.config.database,
                ConfigSource(lagging.rooms.config, lagging.rooms.vault).refresh,
                poll_s=60,
            ),
        )
        server = FeedServer(rooms.feed, rooms.fleet, key_pepper=project_key_pepper(b"p"), plane_token=PLANE_TOKEN)
        async with serve_feed(replace(rooms, server=server)) as behind:
            async with (
                open_admin(config_url, notify=False) as ahead,
                serve_feed(ahead.rooms) as first,
                subscribed(first, plane),
            ):
                await revoke(ahead, KEY)
                await plane.wait_for(lambda s: s.resources[KEY].virtual_key.revoked)
            assert plane.cursor is not None
            assert rooms.feed.revision < plane.cursor.revision
            seen = len(plane.responses)
            async with subscribed(behind, plane):
                assert [response.reset for response in plane.responses[seen:]] == [False]
                assert plane.resources[KEY].virtual_key.revoked
