"""Rate limits and budgets as resources: what they name must exist and stay, and what keeps what was counted."""

from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from controlplane.discovery.source import ConfigSource
from controlplane.errors import FailedPrecondition, InvalidArgument
from tests.integration.controlplane.admin import Admin, manifest
from tollway.admin.v1 import rate_limits_pb2
from tollway.admin.v1.budgets_pb2 import Budget, CreateBudgetRequest, UpdateBudgetRequest
from tollway.admin.v1.keys_pb2 import DeleteVirtualKeyRequest
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, ApplyManifestsResponse, Manifest
from tollway.admin.v1.rate_limits_pb2 import CreateRateLimitRequest, Limit, RateLimit, UpdateRateLimitRequest
from tollway.admin.v1.routes_pb2 import DeleteRouteRequest, Route, UpdateRouteRequest
from tollway.admin.v1.rules_pb2 import Match
from tollway.admin.v1.teams_pb2 import DeleteTeamRequest
from tollway.admin.v1.upstreams_pb2 import DeleteUpstreamRequest
from tollway.config.v1 import resources_pb2 as machine

LIMITS = [{"unit": "requests", "amount": 60, "window": "60s"}]
BASE = [
    manifest("Team", "growth"),
    manifest("Team", "search"),
    manifest("VirtualKey", "ci", {}, "growth"),
    manifest("VirtualKey", "ci", {}, "search"),
    manifest(
        "Upstream", "sim", {"provider": "sim", "base_url": "http://127.0.0.1:9/v1", "models": ["echo", "lorem-*"]}
    ),
    manifest("Route", "fast", {"model": "fast-model", "targets": [{"upstream": "sim", "model": "echo"}]}),
    manifest(
        "Price",
        "sim",
        {"provider": "sim", "model": "*", "rates": [{"meter": m, "price_usd": "1"} for m in ("input", "output")]},
    ),
]


def rate_limit(name: str, match: dict[str, Any] | None = None) -> Manifest:
    return manifest("RateLimit", name, {"limits": LIMITS} | ({"match": match} if match else {}))


def budget(name: str, **spec: Any) -> Manifest:
    return manifest("Budget", name, {"amount_usd": "5.00"} | spec)


async def apply(admin: Admin, *manifests: Manifest) -> ApplyManifestsResponse:
    request = ApplyManifestsRequest(manifests=manifests)
    return await admin.call("ManifestService/ApplyManifests", request, ApplyManifestsResponse)


async def create(admin: Admin, name: str, match: Match) -> RateLimit:
    limit = Limit(unit=rate_limits_pb2.LIMIT_UNIT_REQUESTS, amount=60)
    limit.window.FromSeconds(60)
    request = CreateRateLimitRequest(rate_limit_id=name, rate_limit=RateLimit(match=match, limits=[limit]))
    return await admin.call("RateLimitService/CreateRateLimit", request, RateLimit)


async def machine_forms(admin: Admin) -> dict[str, machine.Resource]:
    state = await ConfigSource(admin.rooms.config, admin.rooms.vault).refresh(None)
    return {form.name: form for form in state.update_since(None).upserts}


async def machine_form(admin: Admin, name: str) -> machine.Resource:
    return (await machine_forms(admin))[name]


async def test_rules_that_name_what_exists_are_stored_and_applying_them_again_changes_nothing(admin: Admin) -> None:
    rules = [
        rate_limit("rpm", {"teams": ["growth", "!search", "new-*"], "keys": ["ci", "teams/growth/keys/ci"]}),
        rate_limit(
            "tpm", {"models": ["fast-model", "sim/echo", "!sim/lorem-5", "gpt-*"], "metadata": {"env": ["prod"]}}
        ),
        budget("growth", match={"upstreams": ["sim"]}, alerts={"webhook_url": "https://hooks.example/x"}),
    ]
    made = await apply(admin, *rules, *BASE)
    assert [result.action for result in made.results] == ["created"] * (len(rules) + len(BASE))
    again = await apply(admin, *rules)
    assert [result.action for result in again.results] == ["unchanged"] * 3


@pytest.mark.parametrize(
    ("match", "field", "text"),
    [
        ({"teams": ["grwoth"]}, "match.teams[0]", '"teams/grwoth" does not exist'),
        ({"teams": ["!grwoth"]}, "match.teams[0]", '"teams/grwoth" does not exist'),
        ({"keys": ["cd"]}, "match.keys[0]", '"teams/-/keys/cd" does not exist'),
        ({"keys": ["teams/growth/keys/cd"]}, "match.keys[0]", "does not exist"),
        ({"upstreams": ["openai"]}, "match.upstreams[0]", '"upstreams/openai" does not exist'),
        ({"models": ["fast-modle"]}, "match.models[0]", "write a route's model or UPSTREAM/MODEL"),
        ({"models": ["!openai/gpt-4"]}, "match.models[0]", "is a model that nothing serves"),
        ({"models": ["sim/embed"]}, "match.models[0]", "upstream sim does not admit it"),
    ],
)
async def test_a_rule_that_would_never_match_is_refused(
    admin: Admin, match: dict[str, Any], field: str, text: str
) -> None:
    await apply(admin, *BASE)
    with pytest.raises(InvalidArgument) as alone:
        await create(admin, "rpm", Match(**match))
    assert [(v.field, text in v.description) for v in alone.value.violations] == [(f"rate_limit.{field}", True)]
    with pytest.raises(InvalidArgument) as applied:
        await apply(admin, budget("b", match=match), manifest("Team", "other"))
    (violation,) = applied.value.violations
    assert violation.field == f"manifests[0].spec.{field}"
    assert violation.description.startswith('Budget "b": ') and text in violation.description


async def test_what_a_rule_names_may_not_be_deleted(admin: Admin) -> None:
    match = {"teams": ["growth"], "keys": ["ci"], "models": ["fast-model"]}
    await apply(admin, *BASE, rate_limit("rpm", match), budget("b", match={"models": ["sim/echo"]}))
    for method, request in (
        ("TeamService/DeleteTeam", DeleteTeamRequest(name="teams/growth")),
        ("RouteService/DeleteRoute", DeleteRouteRequest(name="routes/fast")),
    ):
        with pytest.raises(FailedPrecondition, match=r"is in use by .*; delete or change them first"):
            await admin.call(method, request, Empty)
    with pytest.raises(FailedPrecondition, match="is in use by budgets/b, routes/fast"):
        await admin.call("UpstreamService/DeleteUpstream", DeleteUpstreamRequest(name="upstreams/sim"), Empty)
    # One of two keys that a rule names by their id may go, the last one may not.
    other, last = (DeleteVirtualKeyRequest(name=f"teams/{team}/keys/ci") for team in ("search", "growth"))
    await admin.call("VirtualKeyService/DeleteVirtualKey", other, Empty)
    with pytest.raises(FailedPrecondition, match="is in use by rateLimits/rpm"):
        await admin.call("VirtualKeyService/DeleteVirtualKey", last, Empty)
    gone = rate_limits_pb2.DeleteRateLimitRequest(name="rateLimits/rpm")
    await admin.call("RateLimitService/DeleteRateLimit", gone, Empty)
    await admin.call("VirtualKeyService/DeleteVirtualKey", last, Empty)
    await admin.call("RouteService/DeleteRoute", DeleteRouteRequest(name="routes/fast"), Empty)


async def test_a_route_keeps_the_model_that_a_rule_names_unless_both_change_together(admin: Admin) -> None:
    await apply(admin, *BASE, rate_limit("rpm", {"models": ["fast-model"]}))
    renamed = UpdateRouteRequest(
        route=Route(name="routes/fast", model="faster"), update_mask=FieldMask(paths=["model"])
    )
    with pytest.raises(InvalidArgument, match='"fast-model" is named by rateLimits/rpm; change them first'):
        await admin.call("RouteService/UpdateRoute", renamed, Route)
    route = manifest("Route", "fast", {"model": "faster", "targets": [{"upstream": "sim", "model": "echo"}]})
    with pytest.raises(InvalidArgument, match="is named by rateLimits/rpm"):
        await apply(admin, route)
    with pytest.raises(InvalidArgument, match="nothing serves"):
        await apply(admin, route, rate_limit("rpm", {"models": ["fast-model"]}))
    done = await apply(admin, route, rate_limit("rpm", {"models": ["faster"]}))
    assert [result.action for result in done.results] == ["updated", "updated"]


async def test_a_change_of_amount_keeps_the_buckets_and_one_of_match_does_not_even_when_undone(admin: Admin) -> None:
    await apply(admin, *BASE)
    spec = Budget(amount_usd="5.00", match=Match(teams=["growth"]))
    made = await admin.call("BudgetService/CreateBudget", CreateBudgetRequest(budget_id="b", budget=spec), Budget)
    generations = [(await machine_form(admin, "budgets/b")).budget.generation]
    for change in ({"amount_usd": "9.00"}, {"match": Match(teams=["search"])}, {"match": Match(teams=["growth"])}):
        request = UpdateBudgetRequest(budget=Budget(name="budgets/b", **change))
        made = await admin.call("BudgetService/UpdateBudget", request, Budget)
        generations.append((await machine_form(admin, "budgets/b")).budget.generation)
    assert generations[0] == generations[1]
    assert len(set(generations)) == 3
    assert made.amount_usd == "9.00"
    assert (await machine_form(admin, "budgets/b")).budget.amount_nano_usd == 9_000_000_000


async def test_metadata_lists_can_be_masked(admin: Admin) -> None:
    match = Match()
    match.metadata["env"].append("prod")
    match.metadata["tier"].append("gold")
    await create(admin, "rpm", match)
    change = RateLimit(name="rateLimits/rpm")
    change.match.metadata["env"].extend(["dev", "test"])
    for paths in (["match.metadata.env"], ["match.metadata.tier"]):
        request = UpdateRateLimitRequest(rate_limit=change, update_mask=FieldMask(paths=paths))
        after = await admin.call("RateLimitService/UpdateRateLimit", request, RateLimit)
    assert {key: list(after.match.metadata[key]) for key in after.match.metadata} == {"env": ["dev", "test"]}
    whole = UpdateRateLimitRequest(rate_limit=change, update_mask=FieldMask(paths=["match"]))
    after = await admin.call("RateLimitService/UpdateRateLimit", whole, RateLimit)
    assert list(after.match.metadata) == ["env"]


async def test_data_planes_get_rules_in_machine_form_and_hear_of_their_end(admin: Admin) -> None:
    await apply(admin, *BASE, rate_limit("rpm", {"metadata": {"env": ["prod"]}}))
    form = await machine_form(admin, "rateLimits/rpm")
    assert [(pair.key, list(pair.values)) for pair in form.rate_limit.match.metadata] == [("env", ["prod"])]
    gone = rate_limits_pb2.DeleteRateLimitRequest(name="rateLimits/rpm")
    await admin.call("RateLimitService/DeleteRateLimit", gone, Empty)
    assert "rateLimits/rpm" not in await machine_forms(admin)
