"""The admin API of a running stack: standard methods, their AIP options, bad input, and the OpenAPI document's word."""

import json
import secrets
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.e2e.stack import Admin, Stack, eventually
from tollway.admin.v1.routes_pb2 import Route, Target, UpdateRouteRequest
from tollway.admin.v1.routes_pb2_grpc import RouteServiceStub

KINDS: dict[str, dict[str, Any]] = {
    "teams": {"display_name": "One"},
    "upstreams": {"provider": "openai", "secret": {"value": "sk-canary-e2e-0123456789"}, "models": ["m"]},
    "routes": {"targets": [{"upstream": "sim", "model": "echo", "weight": 3}], "timeouts": {"total": "90s"}},
    "metadataKeys": {"key": f"Key-{secrets.token_hex(4)}"},
    "prices": {"model": "gpt-*", "rates": [{"meter": "input", "price_usd": "2.50"}]},
}


def fresh_id() -> str:
    return f"x{secrets.token_hex(4)}"


def id_parameter(collection: str) -> str:
    return f"{collection.removesuffix('s').replace('K', '_k')}_id"


async def refusal(admin: Admin, method: str, path: str, body: Any = None, status: int = 400) -> Any:
    """The error that a call ends in."""
    async with admin.session.request(method, path, json=body) as response:
        answer = await response.json()
    assert response.status == status, answer
    return answer["error"]


def violations(error: Any) -> dict[str, str]:
    [bad_request] = [detail for detail in error["details"] if detail["@type"].endswith("BadRequest")]
    return {each.get("field", ""): each["description"] for each in bad_request["field_violations"]}


@pytest.mark.parametrize("collection", list(KINDS))
async def test_a_resource_lives_by_the_standard_methods(admin: Admin, collection: str) -> None:
    name = fresh_id()
    create = f"/v1/{collection}?{id_parameter(collection)}={name}"
    created = await admin.call("POST", create, KINDS[collection])
    assert created["name"] == f"{collection}/{name}"
    assert created["uid"]
    assert created["create_time"] == created["update_time"]
    assert "canary" not in json.dumps(created)
    path = f"/v1/{created['name']}"
    assert await admin.call("GET", path) == created
    assert (await refusal(admin, "POST", create, KINDS[collection], 409))["status"] == "ALREADY_EXISTS"

    changed = await admin.call("PATCH", f"{path}?update_mask=displayName", {"displayName": "Two", "labels": {"a": "b"}})
    assert (changed["display_name"], changed["labels"]) == ("Two", {})
    assert changed["etag"] != created["etag"]
    stale = {"display_name": "Three", "etag": created["etag"]}
    assert (await refusal(admin, "PATCH", path, stale, 412))["status"] == "ABORTED"
    assert await admin.call("PATCH", path, changed) == changed

    assert await admin.call("DELETE", f"{path}?validate_only=true") == {}
    assert await admin.call("GET", path) == changed
    assert await admin.call("DELETE", path) == {}
    assert (await refusal(admin, "GET", path, status=404))["status"] == "NOT_FOUND"
    await refusal(admin, "DELETE", path, status=404)
    assert await admin.call("DELETE", f"{path}?allow_missing=true") == {}


async def test_validate_only_changes_nothing_and_finds_everything(admin: Admin) -> None:
    name = fresh_id()
    dry = f"/v1/routes?route_id={name}&validate_only=true"
    assert (await admin.call("POST", dry, KINDS["routes"]))["name"] == f"routes/{name}"
    await refusal(admin, "GET", f"/v1/routes/{name}", status=404)
    bad = {"targets": [{"upstream": "absent", "weight": -1}], "retry": {"max_attempts": 99}}
    found = violations(await refusal(admin, "POST", dry, bad))
    assert "weight" in " ".join(found)
    assert "max_attempts" in " ".join(found)


async def test_a_request_id_creates_once(admin: Admin) -> None:
    team, request_id = fresh_id(), fresh_id()
    await admin.call("POST", f"/v1/teams?team_id={team}", {})
    path = f"/v1/teams/{team}/keys?key_id=k&request_id={request_id}"
    first = await admin.call("POST", path, {})
    assert first["secret"].startswith("twk_")
    assert await admin.call("POST", path, {}) == first
    assert "request_id" in violations(await refusal(admin, "POST", path, {"display_name": "other"}))


async def test_lists_are_paged(admin: Admin) -> None:
    made = {f"teams/page-{fresh_id()}" for _ in range(5)}
    for name in made:
        await admin.call("POST", f"/v1/teams?team_id={name.removeprefix('teams/')}", {})
    seen: list[str] = []
    token = ""
    while True:
        page = await admin.call("GET", f"/v1/teams?page_size=2&page_token={token}")
        assert len(page["teams"]) <= 2
        seen += [team["name"] for team in page["teams"]]
        token = page["next_page_token"]
        if not token:
            break
    assert made <= set(seen)
    assert seen == sorted(seen)
    assert len(seen) == len(set(seen))
    assert "page_token" in violations(await refusal(admin, "GET", "/v1/teams?page_token=forged"))


async def test_what_is_referenced_is_not_deleted(admin: Admin) -> None:
    upstream, route = fresh_id(), fresh_id()
    await admin.call("POST", f"/v1/upstreams?upstream_id={upstream}", KINDS["upstreams"])
    targets = {"targets": [{"upstream": upstream}]}
    assert (await admin.call("POST", f"/v1/routes?route_id={route}", targets))["targets"][0]["upstream"] == (
        f"upstreams/{upstream}"
    )
    error = await refusal(admin, "DELETE", f"/v1/upstreams/{upstream}")
    assert error["status"] == "FAILED_PRECONDITION"
    assert f"routes/{route}" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "says"),
    [
        ("POST", "/v1/teams", {}, "team_id", ""),
        ("POST", "/v1/teams?team_id=Bad_ID", {}, "team_id", "[a-z0-9]"),
        ("POST", "/v1/teams?team_id=a&colour=1", {}, "colour", "team_id, validate_only, request_id"),
        ("POST", "/v1/teams?team_id=a", {"colour": 1}, "team.colour", "display_name"),
        ("POST", "/v1/teams?team_id=a", {"labels": {"a": 1}}, "team.labels.a", "string"),
        ("POST", "/v1/upstreams?upstream_id=a", {"provider": "nonsense"}, "upstream.provider", "openai"),
        (
            "POST",
            "/v1/upstreams?upstream_id=a",
            {"provider": "openai_compatible", "base_url": "http://169.254.169.254/v1"},
            "upstream.base_url",
            "link-local",
        ),
        ("PATCH", "/v1/teams/demo?update_mask=colour", {}, "update_mask", "colour"),
        ("POST", "/v1/manifests:apply", {"manifests": []}, "manifests", "at least one"),
        ("GET", "/v1/usage?group_by=colour", None, "group_by", "team"),
        ("GET", "/v1/usage?interval=7s", None, "interval", "900"),
    ],
)
async def test_bad_input_names_the_field(
    admin: Admin, method: str, path: str, body: Any, field: str, says: str
) -> None:
    found = violations(await refusal(admin, method, path, body))
    [description] = [text for name, text in found.items() if name.startswith(field)]
    assert says in description


async def test_a_manifest_with_a_dangling_reference_changes_nothing(admin: Admin) -> None:
    team = fresh_id()
    manifests = [
        {"apiVersion": "tollway/v1", "kind": "Team", "metadata": {"name": team}},
        {
            "apiVersion": "tollway/v1",
            "kind": "Route",
            "metadata": {"name": team},
            "spec": {"targets": [{"upstream": "nowhere"}]},
        },
    ]
    error = await refusal(admin, "POST", "/v1/manifests:apply", {"manifests": manifests})
    assert "nowhere" in error["message"]
    await refusal(admin, "GET", f"/v1/teams/{team}", status=404)


async def test_grpc_serves_the_same_resources(stack: Stack, admin: Admin) -> None:
    route = fresh_id()
    await admin.call("POST", f"/v1/routes?route_id={route}", KINDS["routes"])
    metadata = (("authorization", f"Bearer {stack.info['admin_token']}"),)
    async with grpc.aio.insecure_channel(stack.info["grpc_address"]) as channel:
        routes = RouteServiceStub(channel)
        changed = Route(name=f"routes/{route}", targets=[Target(upstream="sim", model="echo")])
        request = UpdateRouteRequest(route=changed, update_mask=FieldMask(paths=["targets"]))
        answer = await routes.UpdateRoute(request, metadata=metadata)
        assert [(target.upstream, target.weight) for target in answer.targets] == [("upstreams/sim", 1)]
        assert answer.timeouts.total.ToSeconds() == 90
        changed.etag = "stale"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await routes.UpdateRoute(UpdateRouteRequest(route=changed), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.ABORTED
    info = error_details_pb2.ErrorInfo()
    status: Any = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("ETAG_MISMATCH", "tollway")


async def test_answers_are_what_the_openapi_document_says(stack: Stack, admin: Admin) -> None:
    document = await admin.call("GET", "/openapi.json")
    team = fresh_id()
    key_secret = await admin.create_team(team)
    headers = {"authorization": f"Bearer {key_secret}"}
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "one two"}]}
    url = f"{stack.info['openai_base_url']}/chat/completions"
    async with aiohttp.ClientSession(headers=headers) as session:

        async def is_served() -> bool:
            async with session.post(url, json=body) as response:
                return response.status == 200

        await eventually(is_served, 5, "the new key to work")
    book = (await admin.call("GET", "/v1/priceBooks"))["price_books"][0]["name"].partition("/")[2]
    for path, operations in document["paths"].items():
        if "get" not in operations or path == "/v1/usageRecords/{usage_record}":
            continue
        content = operations["get"]["responses"]["200"]["content"]
        if "application/json" not in content:
            continue
        schema = content["application/json"]["schema"]
        checked = Draft202012Validator({**schema, "components": document["components"]})
        concrete = path.replace("{team}", team).replace("{key}", "k").replace("{upstream}", "sim")
        concrete = concrete.replace("{price_book}", book)
        if "{" in concrete:
            continue
        required = [found["name"] for found in operations["get"]["parameters"] if found.get("required")]
        answer = await admin.call("GET", f"{concrete}?model=echo" if "model" in required else concrete)
        assert [error.message for error in checked.iter_errors(answer)] == [], path
        defined = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        assert set(answer) <= set(defined), path
