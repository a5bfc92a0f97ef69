"""Virtual keys: secrets are made or read, shown once, rotated with overlap, revoked for good."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.errors import FailedPrecondition, InvalidArgument, NotFound
from controlplane.keys.rows import StoredDigest
from tests.integration.controlplane.admin import PEPPER, Admin
from tollway.admin.v1.keys_pb2 import (
    KEY_STATE_ACTIVE,
    KEY_STATE_EXPIRED,
    KEY_STATE_REVOKED,
    CreateVirtualKeyRequest,
    DeleteVirtualKeyRequest,
    GetVirtualKeyRequest,
    IssuedVirtualKey,
    ListVirtualKeysRequest,
    ListVirtualKeysResponse,
    RevokeVirtualKeyRequest,
    RotateVirtualKeyRequest,
    UpdateVirtualKeyRequest,
    VirtualKey,
    VirtualKeySecret,
)
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, DeleteTeamRequest, Team
from tollway.kernel.keys import is_virtual_key, key_digest, make_virtual_key

NAME = "teams/growth/keys/ci"
DAY = timedelta(hours=24)


@pytest_asyncio.fixture(autouse=True)
async def team(admin: Admin) -> Team:
    return await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="growth"), Team)


async def create(admin: Admin, key_id: str = "ci", ref: str = "", **fields: object) -> IssuedVirtualKey:
    secret = VirtualKeySecret(ref=ref) if ref else None
    key = VirtualKey(secret=secret, **fields)  # type: ignore[arg-type]
    request = CreateVirtualKeyRequest(parent="teams/growth", key_id=key_id, virtual_key=key)
    return await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)


async def read(admin: Admin) -> VirtualKey:
    return await admin.call("VirtualKeyService/GetVirtualKey", GetVirtualKeyRequest(name=NAME), VirtualKey)


async def rotate(admin: Admin, **fields: object) -> IssuedVirtualKey:
    request = RotateVirtualKeyRequest(name=NAME, **fields)  # type: ignore[arg-type]
    return await admin.call("VirtualKeyService/RotateVirtualKey", request, IssuedVirtualKey)


async def revoke(admin: Admin) -> VirtualKey:
    return await admin.call("VirtualKeyService/RevokeVirtualKey", RevokeVirtualKeyRequest(name=NAME), VirtualKey)


async def digests(admin: Admin) -> list[StoredDigest]:
    async with admin.rooms.config.read() as view:
        return await view.digests.list_of([NAME])


def digest(secret: str) -> bytes:
    return key_digest(PEPPER.encode(), secret)


def new_secret() -> str:
    return make_virtual_key(secrets.randbelow)


async def test_a_made_secret_is_shown_once(admin: Admin) -> None:
    issued = await create(admin, display_name="CI", allowed_models=["gpt-*"], metadata={"app": "ci"})
    assert is_virtual_key(issued.secret)
    assert issued.prefix == issued.secret[:8]
    assert (issued.owner, issued.state, list(issued.allowed_models)) == ("teams/growth", KEY_STATE_ACTIVE, ["gpt-*"])
    assert [row.digest for row in await digests(admin)] == [digest(issued.secret)]
    shown = await read(admin)
    assert issued.secret not in str(shown)
    assert (shown.name, shown.prefix, shown.etag, dict(shown.metadata)) == (
        NAME,
        issued.prefix,
        issued.etag,
        {"app": "ci"},
    )


async def test_validate_only_makes_no_secret(admin: Admin) -> None:
    request = CreateVirtualKeyRequest(parent="teams/growth", key_id="ci", validate_only=True)
    assert (await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)).secret == ""
    with pytest.raises(NotFound):
        await read(admin)


async def test_a_repeated_create_shows_the_same_secret(admin: Admin) -> None:
    request = CreateVirtualKeyRequest(parent="teams/growth", key_id="ci", request_id="once")
    first = await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)
    assert first.secret
    assert await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey) == first


async def test_a_given_secret_is_read_and_not_shown(admin: Admin, environ: dict[str, str]) -> None:
    environ["CI_KEY"] = new_secret()
    issued = await create(admin, ref="env:CI_KEY")
    assert issued.secret == ""
    assert issued.prefix == environ["CI_KEY"][:8]
    assert [row.digest for row in await digests(admin)] == [digest(environ["CI_KEY"])]


async def test_a_given_secret_must_be_a_virtual_key_and_nobody_elses(admin: Admin, environ: dict[str, str]) -> None:
    good = new_secret()
    environ |= {"FOREIGN": "sk-abc", "MISTYPED": good[:-1] + ("0" if good[-1] != "0" else "1"), "GOOD": good}
    for ref, says in (
        ("env:FOREIGN", "is not a virtual key"),
        ("env:MISTYPED", "is not a virtual key"),
        ("env:MISSING", "environment variable MISSING is not set"),
        ("file:/nowhere/key", "cannot be read"),
    ):
        with pytest.raises(InvalidArgument, match=says) as refused:
            await create(admin, ref=ref)
        assert refused.value.violations[0].field == "virtual_key.secret.ref"
        assert "sk-abc" not in str(refused.value)
        assert good[4:] not in str(refused.value)
    await create(admin, ref="env:GOOD")
    with pytest.raises(InvalidArgument, match="secret of another key"):
        await create(admin, "other", ref="env:GOOD")


async def test_rotation_leaves_the_former_secret_for_a_day(admin: Admin) -> None:
    first = await create(admin)
    before = datetime.now(UTC)
    second = await rotate(admin)
    assert second.secret not in ("", first.secret)
    assert second.etag != first.etag
    rows = await digests(admin)
    assert [row.digest for row in rows] == [digest(second.secret), digest(first.secret)]
    assert rows[0].expire_time is None
    assert rows[1].expire_time is not None
    assert before + DAY <= rows[1].expire_time <= datetime.now(UTC) + DAY


async def test_rotation_without_overlap_ends_the_former_secret(admin: Admin) -> None:
    await create(admin)
    second = await rotate(admin, overlap=Duration())
    assert [row.digest for row in await digests(admin)] == [digest(second.secret)]


async def test_at_most_two_secrets_are_valid(admin: Admin) -> None:
    await create(admin)
    second = await rotate(admin)
    third = await rotate(admin)
    assert [row.digest for row in await digests(admin)] == [digest(third.secret), digest(second.secret)]


async def test_a_rotation_can_be_tried_and_must_be_reasonable(admin: Admin) -> None:
    first = await create(admin)
    assert (await rotate(admin, validate_only=True)).secret == ""
    assert [row.digest for row in await digests(admin)] == [digest(first.secret)]
    for seconds in (-1, 31 * 86400):
        with pytest.raises(InvalidArgument, match="overlap"):
            await rotate(admin, overlap=Duration(seconds=seconds))


async def test_a_key_by_reference_rotates_to_what_the_reference_holds(admin: Admin, environ: dict[str, str]) -> None:
    environ["CI_KEY"] = new_secret()
    await create(admin, ref="env:CI_KEY")
    with pytest.raises(InvalidArgument, match="env:CI_KEY still holds the same secret"):
        await rotate(admin)
    environ["CI_KEY"] = new_secret()
    assert (await rotate(admin)).secret == ""
    assert (await digests(admin))[0].digest == digest(environ["CI_KEY"])


async def test_a_revoked_key_stays_revoked(admin: Admin) -> None:
    await create(admin)
    revoked = await revoke(admin)
    assert revoked.state == KEY_STATE_REVOKED
    assert await revoke(admin) == revoked
    with pytest.raises(FailedPrecondition, match="revoked for good"):
        await rotate(admin)
    request = UpdateVirtualKeyRequest(
        virtual_key=VirtualKey(name=NAME, display_name="x", state=KEY_STATE_ACTIVE),
        update_mask=FieldMask(paths=["display_name", "state"]),
    )
    updated = await admin.call("VirtualKeyService/UpdateVirtualKey", request, VirtualKey)
    assert (updated.display_name, updated.state) == ("x", KEY_STATE_REVOKED)


async def test_state_follows_the_time_of_expiry(admin: Admin) -> None:
    now = int(datetime.now(UTC).timestamp())
    assert (await create(admin, "past", expire_time=Timestamp(seconds=now - 5))).state == KEY_STATE_EXPIRED
    assert (await create(admin, "future", expire_time=Timestamp(seconds=now + 60))).state == KEY_STATE_ACTIVE


async def test_the_secret_of_a_key_cannot_be_updated(admin: Admin, environ: dict[str, str]) -> None:
    environ |= {"ONE": new_secret(), "TWO": new_secret()}
    await create(admin, ref="env:ONE")
    key = VirtualKey(name=NAME, secret=VirtualKeySecret(ref="env:TWO"))
    with pytest.raises(InvalidArgument, match=r"virtual_key\.secret: cannot be changed; rotate the key instead"):
        await admin.call("VirtualKeyService/UpdateVirtualKey", UpdateVirtualKeyRequest(virtual_key=key), VirtualKey)


async def test_a_team_with_keys_cannot_be_deleted(admin: Admin) -> None:
    await create(admin)
    with pytest.raises(FailedPrecondition, match="in use by teams/growth/keys/ci"):
        await admin.call("TeamService/DeleteTeam", DeleteTeamRequest(name="teams/growth"), Empty)
    await admin.call("VirtualKeyService/DeleteVirtualKey", DeleteVirtualKeyRequest(name=NAME), Empty)
    assert await digests(admin) == []
    await admin.call("TeamService/DeleteTeam", DeleteTeamRequest(name="teams/growth"), Empty)


async def test_a_key_needs_its_team_and_lists_are_per_team(admin: Admin) -> None:
    await admin.call("TeamService/CreateTeam", CreateTeamRequest(team_id="growth-2"), Team)
    for parent in ("teams/growth", "teams/growth-2"):
        request = CreateVirtualKeyRequest(parent=parent, key_id="k")
        await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)

    async def names(parent: str) -> list[str]:
        request = ListVirtualKeysRequest(parent=parent)
        page = await admin.call("VirtualKeyService/ListVirtualKeys", request, ListVirtualKeysResponse)
        return [key.name for key in page.keys]

    assert await names("teams/growth") == ["teams/growth/keys/k"]
    assert await names("teams/-") == ["teams/growth-2/keys/k", "teams/growth/keys/k"]
    with pytest.raises(NotFound, match="teams/nobody"):
        await names("teams/nobody")
    with pytest.raises(InvalidArgument, match="parent"):
        await names("")
    with pytest.raises(NotFound, match="teams/nobody"):
        request = CreateVirtualKeyRequest(parent="teams/nobody", key_id="k")
        await admin.call("VirtualKeyService/CreateVirtualKey", request, IssuedVirtualKey)
