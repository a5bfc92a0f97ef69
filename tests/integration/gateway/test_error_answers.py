"""What clients are told of errors that providers tell in their own words, through the real pipeline on real sockets."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from dataplane.snapshot import Target
from tests.fakes.gateway import UPSTREAM_SECRET, RunningGateway, route, start_gateway, upstream
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script

CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
BEGUN = {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}]}
USED = {"input_tokens": 3, "output_tokens": 1}
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": USED}
BEGUN_MESSAGE = (
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
)
CHAT = {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": 9}


@pytest.fixture
async def gateway(provider: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    a, b = upstream("a", f"{provider.url}/a"), replace(upstream("b", f"{provider.url}/b"), provider="anthropic")
    running = await start_gateway([a, b], [route("both", Target(a, "m"), Target(b, "m"))])
    yield running
    await running.stop()


def failing(place: str, error: dict[str, Any]) -> Script:
    """A stream that tells `error` after content, in the format of the upstream `place`."""
    if place == "a":
        return sse_script(BEGUN, {"error": error}, done=False)
    return sse_script(*BEGUN_MESSAGE, {"type": "error", "error": error}, done=False)


async def told_in_stream(client: aiohttp.ClientSession, path: str, model: str) -> dict[str, Any]:
    async with client.post(path, json={"model": model, "stream": True, **CHAT}) as response:
        assert response.status == 200
        text = await response.text()
    assert "[DONE]" not in text and "message_stop" not in text
    last = text.rstrip().rpartition("\n\n")[2]
    assert last.startswith("event: error\n") == (path == "/v1/messages")
    error: dict[str, Any] = json.loads(last.rpartition("data: ")[2])["error"]
    return error


@pytest.mark.parametrize(
    ("place", "error", "told", "anthropics_type"),
    [
        ("b", {"type": "overloaded_error"}, ("server_error", None, "overloaded_error"), "overloaded_error"),
        ("b", {"type": "rate_limit_error"}, ("rate_limit_error", None, "rate_limit_exceeded"), "rate_limit_error"),
        ("b", {"type": "api_error"}, ("server_error", None, "upstream_error"), "api_error"),
        ("a", {"type": "server_error", "param": "p", "code": "c"}, ("server_error", "p", "c"), "api_error"),
        ("a", {"code": 503}, ("server_error", None, "503"), "overloaded_error"),
        (
            "a",
            {"type": "tokens", "code": "rate_limit_exceeded"},
            ("tokens", None, "rate_limit_exceeded"),
            "rate_limit_error",
        ),
        (
            "a",
            {"type": "invalid_request_error"},
            ("invalid_request_error", None, "invalid_request"),
            "invalid_request_error",
        ),
        ("a", {"code": "insufficient_quota"}, ("server_error", None, "upstream_error"), "api_error"),
        ("a", {"type": "authentication_error", "code": "c"}, ("server_error", None, "upstream_error"), "api_error"),
        ("b", {"type": "permission_error"}, ("server_error", None, "upstream_error"), "api_error"),
    ],
)
async def test_error_inside_a_stream_is_told_in_the_providers_words_and_as_what_it_is(
    gateway: RunningGateway,
    provider: ScriptedUpstream,
    client: aiohttp.ClientSession,
    place: str,
    error: dict[str, Any],
    told: tuple[str | None, ...],
    anthropics_type: str,
) -> None:
    provider.script(place, *[failing(place, {"message": f"boom {UPSTREAM_SECRET} of org-abc1", **error})] * 2)
    got = await told_in_stream(client, "/v1/chat/completions", f"{place}/m")
    assert (got["type"], got["param"], got["code"]) == told
    assert got["message"].endswith("The provider said: boom *** of ***")
    got = await told_in_stream(client, "/v1/messages", f"{place}/m")
    assert got["type"] == anthropics_type
    assert got["message"].endswith("The provider said: boom *** of ***")
    outcome = await gateway.outcome()
    assert (outcome.status, outcome.error_code) == (502, "upstream_error")


@pytest.mark.parametrize("error", [{"message": "boom words", "type": "server_error"}, "boom words"])
@pytest.mark.parametrize("stream", [True, False])
async def test_error_without_a_status_keeps_its_words(
    provider: ScriptedUpstream, client: aiohttp.ClientSession, error: Any, stream: bool
) -> None:
    provider.script("a", sse_script({"error": error}, done=False) if stream else json_script({"error": error}))
    async with client.post("/v1/chat/completions", json={"model": "a/m", "stream": stream, **CHAT}) as response:
        assert response.status == 502
        told = (await response.json())["error"]
    assert (told["type"], told["code"]) == ("server_error", "upstream_error")
    assert told["message"].endswith("The provider said: boom words")


@pytest.mark.parametrize("status", [400, 401, 502])
async def test_key_that_the_provider_behind_a_router_refuses_is_told_masked_and_as_no_fault_of_the_call(
    provider: ScriptedUpstream, client: aiohttp.ClientSession, status: int
) -> None:
    raw = json.dumps({"error": {"message": "Incorrect API key provided: sk-proj-AbCd1234efGH5678. See org-abc1."}})
    error = {"code": status, "message": "Provider returned error", "metadata": {"raw": raw}}
    provider.script("a", *[json_script({"error": error}, status)] * 3)
    async with client.post("/v1/chat/completions", json={"model": "a/m", **CHAT}) as response:
        assert response.status == 502
        told = (await response.json())["error"]
    assert told["message"].endswith("Provider returned error: Incorrect API key provided: ***. See ***.")


@pytest.mark.parametrize(
    ("status", "headers", "told", "pause"),
    [
        (503, {"retry_after": "86400"}, 502, "86400"),
        (529, {"retry_after": "7"}, 502, "7"),
        (429, {"retry_after_ms": "86400000"}, 429, "86400"),
        (504, {"retry_after": "30"}, 504, "30"),
        (500, {}, 502, None),
    ],
)
async def test_pause_that_the_provider_asks_for_reaches_the_client_as_it_is(
    provider: ScriptedUpstream,
    client: aiohttp.ClientSession,
    status: int,
    headers: dict[str, str],
    told: int,
    pause: str | None,
) -> None:
    provider.script("a", json_script({"error": {"message": "boom"}}, status, **headers))
    async with client.post("/v1/chat/completions", json={"model": "a/m", **CHAT}) as response:
        assert (response.status, response.headers.get("retry-after")) == (told, pause)
        assert response.headers.get("retry-after-ms") == (pause and f"{pause}000")


@pytest.mark.parametrize(
    ("status", "type_", "message", "code"),
    [
        (404, "not_found_error", "model: claude-none", "model_not_found"),
        (413, "request_too_large", "Request exceeds the maximum size", "request_too_large"),
    ],
)
async def test_types_of_anthropics_are_openais_for_openais_clients(
    provider: ScriptedUpstream, client: aiohttp.ClientSession, status: int, type_: str, message: str, code: str
) -> None:
    refusal = json_script({"type": "error", "error": {"type": type_, "message": message}}, status)
    provider.script("b", refusal, refusal)
    for path, kind in (("/v1/chat/completions", "invalid_request_error"), ("/v1/messages", type_)):
        async with client.post(path, json={"model": "b/m", **CHAT}) as response:
            assert response.status == status
            error = (await response.json())["error"]
        assert (error["type"], error["code"], error["message"]) == (kind, code, message)
