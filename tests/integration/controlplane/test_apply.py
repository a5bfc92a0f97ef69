"""Applying manifests: one transaction, in any order, twice the same."""

import secrets

import pytest
from google.protobuf.json_format import MessageToDict

from controlplane.errors import InvalidArgument, NotFound
from tests.integration.controlplane.admin import PEPPER, Admin, manifest
from tollway.admin.v1.keys_pb2 import GetVirtualKeyRequest, VirtualKey
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse, Manifest
from tollway.admin.v1.routes_pb2 import GetRouteRequest, Route
from tollway.admin.v1.teams_pb2 import GetTeamRequest, Team
from tollway.admin.v1.upstreams_pb2 import CreateUpstreamRequest, Upstream, UpstreamSecret
from tollway.kernel.keys import is_virtual_key, key_digest, make_virtual_key

SIM = manifest("Upstream", "sim", {"provider": "sim", "base_url": "http://127.0.0.1:9/v1", "models": ["echo"]})
TEAM = manifest("Team", "growth", {"display_name": "Growth"})
PRICE = manifest("Price", "p", {"model": "echo", "rates": [{"meter": "input", "price_usd": "1.5"}]})


def route(*weights: int, model: str = "chat", name: str = "chat") -> Manifest:
    targets = [{"upstream": "sim", "model": f"m{i}", "weight": weight} for i, weight in enumerate(weights)]
    return manifest("Route", name, {"model": model, "targets": targets})


def key(ref: str = "") -> Manifest:
    return manifest("VirtualKey", "ci", {"secret": {"ref": ref}} if ref else {}, team="growth")


async def apply(admin: Admin, *manifests: Manifest, validate_only: bool = False) -> ApplyManifestsResponse:
    request = ApplyManifestsRequest(manifests=manifests, validate_only=validate_only)
    return await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)


async def violations(admin: Admin, *manifests: Manifest) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as refused:
        await apply(admin, *manifests)
    return {v.field: v.description for v in refused.value.violations}


def actions(answer: ApplyManifestsResponse) -> list[tuple[str, str]]:
    return [(result.name, result.action) for result in answer.results]


async def head(admin: Admin) -> int:
    async with admin.rooms.config.read() as view:
        return view.head.revision


async def test_all_kinds_in_any_order_as_one_revision(admin: Admin) -> None:
    before = await head(admin)
    answer = await apply(admin, route(1, 3), key(), PRICE, TEAM, SIM)
    assert actions(answer) == [
        ("routes/chat", "created"),
        ("teams/growth/keys/ci", "created"),
        ("prices/p", "created"),
        ("teams/growth", "created"),
        ("upstreams/sim", "created"),
    ]
    assert answer.revision == await head(admin) == before + 1
    assert [is_virtual_key(result.secret) for result in answer.results] == [False, True, False, False, False]
    stored = await admin.call("RouteService/GetRoute", GetRouteRequest(name="routes/chat"), Route)
    assert [(t.upstream, t.weight) for t in stored.targets] == [("upstreams/sim", 1), ("upstreams/sim", 3)]


async def test_applying_twice_changes_nothing(admin: Admin) -> None:
    everything = (SIM, TEAM, route(1, 3), key(), PRICE)
    first = await apply(admin, *everything)
    again = await apply(admin, *everything)
    assert {action for _, action in actions(again)} == {"unchanged"}
    assert again.revision == first.revision == await head(admin)
    assert all(not result.changes and not result.secret for result in again.results)


async def test_a_dry_run_tells_all_and_does_nothing(admin: Admin) -> None:
    before = await head(admin)
    dry = await apply(admin, SIM, TEAM, route(1), key(), validate_only=True)
    assert {action for _, action in actions(dry)} == {"created"}
    assert dry.revision == before == await head(admin)
    assert all(not result.secret for result in dry.results)
    with pytest.raises(NotFound):
        await admin.call("TeamService/GetTeam", GetTeamRequest(name="teams/growth"), Team)


async def test_changes_are_told_by_field(admin: Admin) -> None:
    await apply(admin, SIM, route(1, 3))
    for validate_only in (True, False):
        answer = await apply(admin, route(1, 5), SIM, validate_only=validate_only)
        assert actions(answer) == [("routes/chat", "updated"), ("upstreams/sim", "unchanged")]
        [change] = answer.results[0].changes
        assert (change.path, change.before.number_value, change.after.number_value) == ("targets[1].weight", 3, 5)
    removed = await apply(admin, route(1))
    [change] = removed.results[0].changes
    assert change.path == "targets[1]"
    assert MessageToDict(change.before) == {"upstream": "upstreams/sim", "model": "m1", "weight": 5}
    assert change.after.HasField("null_value")


async def test_either_all_or_nothing(admin: Admin) -> None:
    before = await head(admin)
    told = await violations(admin, TEAM, route(1), manifest("Team", "other", {"colour": "red"}))
    assert set(told) == {"manifests[1].spec.targets[0].upstream", "manifests[2].spec.colour"}
    assert 'Route "chat": "upstreams/sim" does not exist' in told["manifests[1].spec.targets[0].upstream"]
    assert await head(admin) == before


async def test_references_may_be_to_what_exists(admin: Admin) -> None:
    await apply(admin, SIM, TEAM)
    assert actions(await apply(admin, route(1), key())) == [
        ("routes/chat", "created"),
        ("teams/growth/keys/ci", "created"),
    ]


async def test_every_kind_of_mistake_at_once(admin: Admin) -> None:
    await apply(admin, SIM, route(1, model="taken", name="first"))
    told = await violations(
        admin,
        manifest("Quota", "b"),
        route(0, name="zero"),
        route(1, model="taken", name="second"),
        SIM,
        SIM,
        key("env:MISSING"),
    )
    assert set(told) == {
        "manifests[0].kind",
        "manifests[1].spec.targets",
        "manifests[2].spec.model",
        "manifests[4]",
        "manifests[5].metadata.team",
        "manifests[5].spec.secret.ref",
    }


async def test_nothing_is_refused(admin: Admin) -> None:
    assert await violations(admin) == {"manifests": "nothing to apply: give at least one manifest"}


async def test_routes_can_swap_their_models(admin: Admin) -> None:
    await apply(admin, SIM, route(1, model="a", name="one"), route(1, model="b", name="two"))
    swapped = await apply(admin, route(1, model="b", name="one"), route(1, model="a", name="two"))
    assert {action for _, action in actions(swapped)} == {"updated"}


@pytest.mark.parametrize("validate_only", [True, False])
async def test_one_secret_for_two_keys_is_refused_by_a_dry_run_too(
    admin: Admin, environ: dict[str, str], validate_only: bool
) -> None:
    environ["CI_KEY"] = environ["CD_KEY"] = make_virtual_key(secrets.randbelow)
    other = manifest("VirtualKey", "cd", {"secret": {"ref": "env:CD_KEY"}}, team="growth")
    with pytest.raises(InvalidArgument) as refused:
        await apply(admin, TEAM, key("env:CI_KEY"), other, validate_only=validate_only)
    [violation] = refused.value.violations
    assert violation.field == "manifests[2].spec.secret.ref"
    assert "holds the secret of teams/growth/keys/ci" in violation.description


async def test_a_reference_that_holds_another_secret_rotates_the_key(admin: Admin, environ: dict[str, str]) -> None:
    environ["CI_KEY"] = old = make_virtual_key(secrets.randbelow)
    await apply(admin, TEAM, key("env:CI_KEY"))
    assert actions(await apply(admin, key("env:CI_KEY"))) == [("teams/growth/keys/ci", "unchanged")]
    environ["CI_KEY"] = new = make_virtual_key(secrets.randbelow)
    assert actions(await apply(admin, key("env:CI_KEY"), validate_only=True)) == [("teams/growth/keys/ci", "updated")]
    answer = await apply(admin, key("env:CI_KEY"))
    assert actions(answer) == [("teams/growth/keys/ci", "updated")]
    assert answer.results[0].secret == ""
    async with admin.rooms.config.read() as view:
        rows = await view.digests.list_of(["teams/growth/keys/ci"])
    assert [row.digest for row in rows] == [key_digest(PEPPER.encode(), secret) for secret in (new, old)]


async def test_what_manifests_cannot_say_is_kept(admin: Admin, environ: dict[str, str]) -> None:
    """An exported manifest holds no secret; applying it must not take the secret away."""
    value = UpstreamSecret(value="sk-kept")
    request = CreateUpstreamRequest(upstream_id="openai", upstream=Upstream(provider="openai", secret=value))
    created = await admin.call("UpstreamService/CreateUpstream", request, Upstream)
    answer = await apply(admin, manifest("Upstream", "openai", {"provider": "openai"}))
    assert actions(answer) == [("upstreams/openai", "unchanged")]
    await apply(admin, manifest("Upstream", "openai", {"provider": "openai", "region": "eu"}))
    async with admin.rooms.config.read() as view:
        row = await view.resources.find("upstreams/openai")
    assert row is not None
    assert row.spec["secret"] == {"fingerprint": created.secret.fingerprint}
    environ["CI_KEY"] = make_virtual_key(secrets.randbelow)
    await apply(admin, TEAM, key("env:CI_KEY"))
    assert actions(await apply(admin, key())) == [("teams/growth/keys/ci", "unchanged")]
    kept = await admin.call(
        "VirtualKeyService/GetVirtualKey", GetVirtualKeyRequest(name="teams/growth/keys/ci"), VirtualKey
    )
    assert kept.secret.ref == "env:CI_KEY"
