"""The admin API over HTTP: shapes, statuses and bad input."""

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import pytest
import yarl

from tests.integration.transport.admin_server import TOKEN, AdminServer
from tollway.admin.v1.keys_pb2 import RotateVirtualKeyRequest
from tollway.admin.v1.usage_pb2 import USAGE_PERIOD_LAST_MONTH, ExportUsageRequest


async def told(response: aiohttp.ClientResponse, status: int) -> Any:
    """The error of a response that must have the one error shape."""
    body = await response.json()
    assert response.status == status, body
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"code", "status", "message", "details"}
    assert error["code"] == status
    assert error["details"][0]["domain"] == "tollway"
    return error


async def test_a_team_lives(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/teams?team_id=a", json={"displayName": "A"}) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Server" not in response.headers
        created = await response.json()
    assert (created["name"], created["display_name"], created["labels"]) == ("teams/a", "A", {})
    async with client.get("/v1/teams/a") as response:
        assert await response.json() == created
    async with client.get("/v1/teams?pageSize=7") as response:
        assert await response.json() == {"teams": [created], "next_page_token": ""}
    async with client.patch("/v1/teams/a?update_mask=displayName", json={"display_name": "B"}) as response:
        assert (await response.json())["display_name"] == "B"
    async with client.delete("/v1/teams/a") as response:
        assert (response.status, await response.text()) == (200, "{}")


async def test_custom_verbs_reach_their_method(client: aiohttp.ClientSession, server: AdminServer) -> None:
    async with client.post("/v1/teams/a/keys/b:rotate", data=b"") as response:
        assert response.status == 200
    assert server.seen["RotateVirtualKey"] == RotateVirtualKeyRequest(name="teams/a/keys/b")
    async with client.post("/v1/teams/a/keys/b:paint") as response:
        await told(response, 404)


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/v1/teams/absent", 404, "NOT_FOUND"),
        ("DELETE", "/v1/teams/busy", 400, "FAILED_PRECONDITION"),
        ("GET", "/v1/teams?page_size=x", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1/teams?colour=x", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/v1/teams/", 404, "NOT_FOUND"),
        ("GET", "/v1/teams/a%2Fkeys%2Fb", 404, "NOT_FOUND"),
        ("GET", "/v1/teams/a%3Ab", 404, "NOT_FOUND"),
        ("GET", "/", 404, "NOT_FOUND"),
    ],
)
async def test_errors_have_one_shape(
    client: aiohttp.ClientSession, server: AdminServer, method: str, path: str, status: int, name: str
) -> None:
    async with client.request(method, yarl.URL(server.url + path, encoded=True)) as response:
        assert (await told(response, status))["status"] == name


async def test_conflicts(client: aiohttp.ClientSession) -> None:
    for status in (200, 409):
        async with client.post("/v1/teams?team_id=a", json={}) as response:
            assert response.status == status
    async with client.patch("/v1/teams/a", json={"etag": "old"}) as response:
        assert (await told(response, 412))["status"] == "ABORTED"


async def test_a_wrong_method_names_the_right_ones(client: aiohttp.ClientSession) -> None:
    async with client.put("/v1/teams/a", json={}) as response:
        await told(response, 405)
        assert response.headers["Allow"] == "DELETE, GET, PATCH"


async def test_an_unexpected_error_shows_nothing(client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/teams?team_id=broken", json={}) as response:
        error = await told(response, 500)
    assert "internal-detail" not in json.dumps(error)


@pytest.mark.parametrize("header", [None, "Bearer nonsense", f"Basic {TOKEN}", TOKEN])
async def test_without_the_token_nothing_is_told(server: AdminServer, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with aiohttp.ClientSession(server.url, headers=headers) as stranger:
        for method, path in (("GET", "/v1/teams/a"), ("POST", "/v1/teams?team_id=a"), ("DELETE", "/v1/teams/a")):
            async with stranger.request(method, path, data=b"{not json") as response:
                assert (await told(response, 401))["status"] == "UNAUTHENTICATED"
                assert response.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/openapi.json", "/livez", "/readyz"):
            async with stranger.get(path) as response:
                assert response.status == 200
    assert server.seen == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"a": 1}',
        b'"x"',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"labels": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    ],
)
async def test_bad_bodies_are_invalid_arguments(client: aiohttp.ClientSession, body: bytes) -> None:
    async with client.post("/v1/teams?team_id=a", data=body) as response:
        assert (await told(response, 400))["status"] == "INVALID_ARGUMENT"


async def test_any_content_type_is_taken_as_json(client: aiohttp.ClientSession) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        async with client.post("/v1/manifests:apply", data=b"{}", headers={"Content-Type": kind}) as response:
            assert response.status == 200


async def test_an_encoded_body_is_not_read(client: aiohttp.ClientSession) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with client.post("/v1/teams?team_id=a", data=gzip.compress(b"{}"), headers=headers) as response:
        await told(response, 415)


async def test_a_large_body_is_refused_at_once(client: aiohttp.ClientSession) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 65_536

    async with client.post("/v1/teams?team_id=a", data=b" " * 5_000_000) as response:
        await told(response, 413)
    async with client.post("/v1/teams?team_id=b", data=chunks()) as response:
        await told(response, 413)


async def raw_answer(server: AdminServer, *head: str, body: bytes = b"") -> bytes:
    """The first line that is answered to a head, and to as much of a body as is given."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([*head, "Host: x", "", ""]).encode() + body)
    async with asyncio.timeout(5):
        line = await reader.readline()
    writer.close()
    return line


async def test_a_hundred_megabytes_are_refused_before_they_are_sent(server: AdminServer) -> None:
    head = ("POST /v1/teams?team_id=a HTTP/1.1", f"Authorization: Bearer {TOKEN}", "Content-Length: 100000000")
    assert b" 413 " in await raw_answer(server, *head)


async def test_a_slow_body_is_given_up(server: AdminServer) -> None:
    head = ("POST /v1/teams?team_id=a HTTP/1.1", f"Authorization: Bearer {TOKEN}", "Content-Length: 100")
    assert b" 408 " in await raw_answer(server, *head, body=b"{")


async def test_a_wrongly_framed_body_is_the_callers_mistake(server: AdminServer) -> None:
    head = ("POST /v1/teams?team_id=a HTTP/1.1", f"Authorization: Bearer {TOKEN}", "Transfer-Encoding: chunked")
    assert b" 400 " in await raw_answer(server, *head, body=b"zz\r\n{}\r\n")


async def test_a_strangers_body_is_not_waited_for(server: AdminServer) -> None:
    head = ("POST /v1/teams?team_id=a HTTP/1.1", "Content-Length: 100000000")
    assert b" 401 " in await raw_answer(server, *head)


async def test_header_floods_are_refused(server: AdminServer) -> None:
    flood = [f"x-{number}: {'a' * 1000}" for number in range(3000)]
    assert (await raw_answer(server, "GET /v1/teams HTTP/1.1", *flood)).split()[1].startswith(b"4")


async def test_readiness_is_told_with_its_reason(client: aiohttp.ClientSession, server: AdminServer) -> None:
    server.readiness.set_reason("stopping")
    async with client.get("/readyz") as response:
        assert (response.status, await response.text()) == (503, "not ready: stopping\n")
    for path in ("/livez", "/v1/teams"):
        async with client.get(path) as response:
            assert response.status == 200


async def test_the_openapi_document_is_served(client: aiohttp.ClientSession) -> None:
    async with client.get("/openapi.json") as response:
        document = await response.json()
    assert document["openapi"] == "3.1.0"
    assert "/v1/teams/{team}/keys/{key}:rotate" in document["paths"]


async def test_an_export_is_sent_as_it_is(client: aiohttp.ClientSession, server: AdminServer) -> None:
    async with client.get("/v1/usage:export?group_by=team,model&period=last_month&max_rows=7") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.read() == b"a,b\r\n1,2\r\n"
    asked = server.seen["ExportUsage"]
    assert asked == ExportUsageRequest(group_by=["team", "model"], period=USAGE_PERIOD_LAST_MONTH, max_rows=7)


async def test_an_export_that_fails_at_once_is_an_error(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/usage:export?filter=early") as response:
        assert "is early" in (await told(response, 400))["message"]
    async with client.get("/v1/usage:export", headers={"Authorization": "Bearer nobody"}) as response:
        await told(response, 401)


async def test_an_export_that_breaks_off_is_not_taken_for_the_whole(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/usage:export?filter=late") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
