"""What is secret is nowhere in the database, in no answer, and under no other key."""

import logging
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from controlplane.discovery.source import ConfigSource
from controlplane.errors import InvalidArgument
from controlplane.secrets.checks import KeyMismatch
from controlplane.secrets.vault import Vault
from tests.integration.controlplane.admin import ENCRYPTION_KEY, PEPPER, Admin, manifest, open_admin
from tollway.admin.v1.audit_pb2 import ListAuditEventsRequest, ListAuditEventsResponse
from tollway.admin.v1.keys_pb2 import CreateVirtualKeyRequest, IssuedVirtualKey, RotateVirtualKeyRequest
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, Team
from tollway.admin.v1.upstreams_pb2 import (
    CreateUpstreamRequest,
    GetUpstreamRequest,
    UpdateUpstreamRequest,
    Upstream,
    UpstreamSecret,
)
from tollway.config.v1.resources_pb2 import Resource
from tollway.kernel.keys import make_virtual_key

VALUE = "sk-canary-4f1d09"
OTHER = "sk-canary-77aa31"


async def create(admin: Admin, secret: UpstreamSecret, request_id: str = "") -> Upstream:
    upstream = Upstream(provider="openai", secret=secret)
    request = CreateUpstreamRequest(upstream_id="openai", upstream=upstream, request_id=request_id)
    return await admin.call("UpstreamService/CreateUpstream", request, Upstream)


async def update(admin: Admin, upstream: Upstream, *paths: str) -> Upstream:
    request = UpdateUpstreamRequest(upstream=upstream, update_mask=FieldMask(paths=paths) if paths else None)
    return await admin.call("UpstreamService/UpdateUpstream", request, Upstream)


async def fed(admin: Admin) -> dict[str, Resource]:
    """What data planes get."""
    state = await ConfigSource(admin.rooms.config, admin.rooms.vault).refresh(None)
    return {resource.name: resource for resource in state.update_since(None).upserts}


async def dump(url: str) -> AsyncIterator[str]:
    """All rows of all tables as text, as a dump would hold them."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert len(tables) >= 8
        for (table,) in tables:
            for (row,) in await connection.fetch(f'SELECT t::text FROM "{table}" t'):
                yield row
    finally:
        await connection.close()


def shapes(secret: str) -> list[str]:
    """The forms in which a secret would show in a dump."""
    return [secret, secret.encode().hex(), secret[4:20]]


async def test_a_value_reaches_only_data_planes(admin: Admin) -> None:
    created = await create(admin, UpstreamSecret(value=VALUE))
    assert created.secret.fingerprint
    assert VALUE not in str(created)
    shown = await admin.call("UpstreamService/GetUpstream", GetUpstreamRequest(name=created.name), Upstream)
    assert shown == created
    resources = await fed(admin)
    assert resources["upstreams/openai/secret"].upstream_secret.value == VALUE
    assert VALUE not in str(resources["upstreams/openai"])


async def test_no_secret_is_in_a_dump(admin: Admin, config_url: str, environ: dict[str, str]) -> None:
    environ["CI_KEY"] = make_virtual_key(secrets.randbelow)
    await create(admin, UpstreamSecret(value=VALUE), request_id="r1")
    await update(admin, Upstream(name="upstreams/openai", secret=UpstreamSecret(value=OTHER)))
    await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="t"), Team)
    create_key = CreateVirtualKeyRequest(parent="teams/t", key_id="k", request_id="r2")
    issued = await admin.call("VirtualKeyService/CreateVirtualKey", create_key, IssuedVirtualKey)
    rotate = RotateVirtualKeyRequest(name=issued.name, request_id="r3")
    rotated = await admin.call("VirtualKeyService/RotateVirtualKey", rotate, IssuedVirtualKey)
    manifests = [
        manifest("VirtualKey", "made", team="t"),
        manifest("VirtualKey", "ci", {"secret": {"ref": "env:CI_KEY"}}, "t"),
    ]
    applied = await admin.call(
        "ManifestService/ApplyManifests",
        ApplyManifestsRequest(manifests=manifests, request_id="r4"),
        ApplyManifestsResponse,
    )
    hidden = [VALUE, OTHER, issued.secret, rotated.secret, environ["CI_KEY"], applied.results[0].secret, PEPPER]
    assert all(hidden)
    rows = 0
    async for row in dump(config_url):
        rows += 1
        for secret in hidden:
            assert not any(shape in row for shape in shapes(secret))
    assert rows > 20


async def test_the_audit_log_shows_no_secret(admin: Admin) -> None:
    await create(admin, UpstreamSecret(value=VALUE))
    await update(admin, Upstream(name="upstreams/openai", secret=UpstreamSecret(value=OTHER)))
    listed = await admin.call("AuditService/ListAuditEvents", ListAuditEventsRequest(), ListAuditEventsResponse)
    assert len(listed.audit_events) == 2
    assert VALUE not in str(listed)
    assert OTHER not in str(listed)
    fingerprints = [MessageToDict(event.after)["secret"]["fingerprint"] for event in listed.audit_events]
    assert len(set(fingerprints)) == 2


async def test_equal_values_change_nothing_and_others_do(admin: Admin) -> None:
    created = await create(admin, UpstreamSecret(value=VALUE))
    same = await update(admin, Upstream(name=created.name, secret=UpstreamSecret(value=VALUE)))
    assert same == created
    changed = await update(admin, Upstream(name=created.name, secret=UpstreamSecret(value=OTHER)), "secret.value")
    assert changed.secret.fingerprint != created.secret.fingerprint
    assert (await fed(admin))["upstreams/openai/secret"].upstream_secret.value == OTHER


async def test_a_value_survives_other_changes_and_a_round_trip(admin: Admin) -> None:
    created = await create(admin, UpstreamSecret(value=VALUE))
    await update(admin, Upstream(name=created.name, region="eu"))
    shown = await admin.call("UpstreamService/GetUpstream", GetUpstreamRequest(name=created.name), Upstream)
    assert await update(admin, shown, "*") == shown
    assert (await fed(admin))["upstreams/openai/secret"].upstream_secret.value == VALUE


async def test_a_reference_takes_the_place_of_a_value(admin: Admin) -> None:
    created = await create(admin, UpstreamSecret(value=VALUE))
    changed = await update(admin, Upstream(name=created.name, secret=UpstreamSecret(ref="env:OPENAI_API_KEY")))
    assert changed.secret == UpstreamSecret(ref="env:OPENAI_API_KEY")
    resources = await fed(admin)
    assert "upstreams/openai/secret" not in resources
    assert resources["upstreams/openai"].upstream.secret_ref == "env:OPENAI_API_KEY"
    back = await update(admin, Upstream(name=created.name, secret=UpstreamSecret(value=OTHER)))
    assert (back.secret.ref, bool(back.secret.fingerprint)) == ("", True)
    assert (await fed(admin))["upstreams/openai/secret"].upstream_secret.value == OTHER


async def test_a_made_up_fingerprint_is_no_secret(admin: Admin) -> None:
    with pytest.raises(InvalidArgument, match=r"upstream\.secret"):
        await create(admin, UpstreamSecret(fingerprint="abc"))


async def test_other_keys_are_refused_at_the_start(admin: Admin, config_url: str) -> None:
    await admin.rooms.prepare()
    await create(admin, UpstreamSecret(value=VALUE))
    await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="t"), Team)
    request = CreateVirtualKeyRequest(parent="teams/t", key_id="k")
    await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)
    async with open_admin(config_url) as same:
        await same.rooms.prepare()
    async with open_admin(config_url, encryption_key="x" * 40) as other:
        with pytest.raises(KeyMismatch, match="TOLLWAY_ENCRYPTION_KEY"):
            await other.rooms.prepare()
    async with open_admin(config_url, pepper="x" * 40) as other:
        with pytest.raises(KeyMismatch, match="TOLLWAY_KEY_PEPPER"):
            await other.rooms.prepare()


async def test_as_long_as_nothing_depends_on_them_keys_may_change(admin: Admin, config_url: str) -> None:
    await admin.rooms.prepare()
    async with open_admin(config_url, encryption_key="x" * 40, pepper="y" * 40) as other:
        await other.rooms.prepare()


async def test_an_unreadable_secret_is_withheld_alone(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    await create(admin, UpstreamSecret(value=VALUE))
    await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="t"), Team)
    with caplog.at_level(logging.ERROR):
        state = await ConfigSource(admin.rooms.config, Vault("z" * 40)).refresh(None)
    names = {resource.name for resource in state.update_since(None).upserts}
    assert names == {"upstreams/openai", "teams/t"}
    assert "secret withheld from data planes resource=upstreams/openai" in caplog.text
    assert VALUE not in caplog.text


async def test_a_sealed_secret_cannot_be_moved_to_another_upstream(admin: Admin, config_url: str) -> None:
    await create(admin, UpstreamSecret(value=VALUE))
    other = Upstream(provider="sim", base_url="http://127.0.0.1:9", secret=UpstreamSecret(value=OTHER))
    request = CreateUpstreamRequest(upstream_id="evil", upstream=other)
    await admin.call("UpstreamService/CreateUpstream", request, Upstream)
    connection = await asyncpg.connect(config_url)
    await connection.execute(
        "UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE resource_name = 'upstreams/openai') "
        "WHERE resource_name = 'upstreams/evil'"
    )
    await connection.close()
    resources = await fed(admin)
    assert "upstreams/evil/secret" not in resources
    assert resources["upstreams/openai/secret"].upstream_secret.value == VALUE


def test_nothing_shows_itself() -> None:
    assert ENCRYPTION_KEY not in repr(Vault(ENCRYPTION_KEY))


async def test_rooms_do_not_show_their_secrets(admin: Admin) -> None:
    assert PEPPER not in repr(admin.rooms)
    assert ENCRYPTION_KEY not in repr(admin.rooms)
