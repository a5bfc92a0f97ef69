"""Calls through the real pipeline on real sockets, to a scripted provider."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from dataplane.snapshot import Target
from tests.fakes.gateway import UPSTREAM_SECRET, RunningGateway, route, start_gateway, upstream, virtual_key
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script
from tests.golden.recordings import Recording, read_recordings
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.usage import SettlementState

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ANSWER = {
    "id": "x",
    "model": "m-1",
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
CHAT = {"messages": [{"role": "user", "content": "hello there"}]}
CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}


def chunk(content: str | None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    delta = {} if content is None else {"role": "assistant", "content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**CHUNK, "choices": [choice], **fields}


USAGE_CHUNK = {**CHUNK, "choices": [], "usage": USAGE}
STREAM = [chunk("hel"), chunk("lo"), chunk(None, "stop"), USAGE_CHUNK]


@pytest.fixture
async def gateway(provider: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    """Upstreams `a` and `b`; route `both` tries a, then b; `m` is the only model that `a` admits."""
    a = upstream("a", f"{provider.url}/a", "m")
    b = upstream("b", f"{provider.url}/b")
    both = route("both", Target(a, "m"), Target(b, "n"))
    running = await start_gateway([a, b], [both])
    yield running
    await running.stop()


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"authorization": f"Bearer {gateway.key}"}
    async with aiohttp.ClientSession(gateway.url, headers=headers) as session:
        yield session


def data_lines(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


async def test_answer_passes_byte_for_byte_and_is_billed(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    raw = b'{ "id":"x",  "model":"m-1","odd":1.50,"choices":[],"usage":' + json.dumps(USAGE).encode() + b"}"
    provider.script("a", Script(pieces=[raw[:20], raw[20:]]))
    body = {"model": "a/m", **CHAT, "unknown": {"deep": [1, 2.5, None]}, "temperature": 0.1}
    async with client.post("/v1/chat/completions", json=body, headers={"x-tollway-user": "u1"}) as response:
        assert response.status == 200
        assert await response.read() == raw
        headers = response.headers
    outcome = await gateway.outcome()
    attempt = outcome.attempts[0]
    assert provider.received[0].body == {**body, "model": "m"}
    assert provider.received[0].headers["authorization"] == f"Bearer {UPSTREAM_SECRET}"
    assert (attempt.usage.input, attempt.usage.output, attempt.cost_nano_usd) == (10, 5, 20_000)
    assert attempt.state is SettlementState.REPORTED
    assert attempt.response_model == "m-1"
    assert outcome.call.end_user == "u1"
    assert headers["x-tollway-cost-usd"] == "0.00002"
    assert headers["x-tollway-upstream"] == "a"
    assert headers["x-tollway-model"] == "m"
    assert headers["x-tollway-attempts"] == "1"
    assert headers["x-request-id"] == outcome.call.request_id


@pytest.mark.parametrize("asked", [True, False])
async def test_usage_chunk_only_when_asked(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, asked: bool
) -> None:
    provider.script("a", sse_script(*STREAM))
    options = {"stream_options": {"include_usage": True}} if asked else {}
    async with client.post(
        "/v1/chat/completions", json={"model": "a/m", "stream": True, **CHAT, **options}
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = data_lines(await response.text())
    wanted = STREAM if asked else STREAM[:-1]
    assert [json.loads(line) for line in lines[:-1]] == wanted
    assert lines[-1] == "[DONE]"
    assert provider.received[0].body["stream_options"] == {"include_usage": True}
    assert (await gateway.outcome()).attempts[0].usage.output == 5


async def test_falls_back_before_the_first_content(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    provider.script("a", sse_script({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, done=False, cut=True))
    provider.script("b", sse_script(*STREAM))
    async with client.post("/v1/chat/completions", json={"model": "both", "stream": True, **CHAT}) as response:
        assert response.status == 200
        assert response.headers["x-tollway-upstream"] == "b"
        assert response.headers["x-tollway-route"] == "both"
        assert data_lines(await response.text())[-1] == "[DONE]"
    outcome = await gateway.outcome()
    first, second = outcome.attempts
    assert (first.error_code, first.state) == ("protocol", SettlementState.ESTIMATED)
    assert (second.error_code, second.state) == ("", SettlementState.REPORTED)


async def test_error_after_content_ends_the_stream_without_done(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    provider.script("a", sse_script(*STREAM[:2], done=False, cut=True))
    async with client.post("/v1/chat/completions", json={"model": "both", "stream": True, **CHAT}) as response:
        lines = data_lines(await response.text())
    assert [json.loads(line) for line in lines[:2]] == STREAM[:2]
    assert json.loads(lines[-1])["error"]["code"] == "upstream_error"
    attempt = (await gateway.outcome()).attempts[0]
    assert attempt.state is SettlementState.ESTIMATED
    assert attempt.usage.output >= 2


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_refusal_of_the_call_passes_in_the_providers_words(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, status: int
) -> None:
    error = {"message": f"no {UPSTREAM_SECRET} way", "type": "odd_type", "param": "p", "code": "c"}
    provider.script("a", json_script({"error": error}, status))
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert response.status == status
        told = (await response.json())["error"]
    assert told == {**error, "message": "no *** way"}
    outcome = await gateway.outcome()
    assert [attempt.state for attempt in outcome.attempts] == [SettlementState.NOT_BILLED]
    assert outcome.cost_nano_usd == 0


@pytest.mark.parametrize(
    ("scripts", "status", "code"),
    [
        ([json_script({}, 500)], 502, "upstream_error"),
        ([json_script({}, 401)], 502, "upstream_error"),
        ([json_script({}, 429, retry_after="7")], 429, "upstream_rate_limited"),
        ([Script(pieces=[b"not json"])], 502, "upstream_error"),
        ([Script(pieces=[b"{"], cut=True)], 502, "upstream_error"),
    ],
)
async def test_exhausted_plan(
    gateway: RunningGateway,
    provider: ScriptedUpstream,
    client: aiohttp.ClientSession,
    scripts: list[Script],
    status: int,
    code: str,
) -> None:
    provider.script("a", *scripts)
    provider.script("b", *scripts)
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert response.status == status
        assert (await response.json())["error"]["code"] == code
        assert response.headers["x-should-retry"] == "false"
        if status == 429:
            assert response.headers["retry-after"] == "7"
    assert len((await gateway.outcome()).attempts) >= 2


async def test_timeout_is_a_504_and_an_estimate(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    provider.script("a", Script(pause_s=30))
    headers = {"x-tollway-timeout-ms": "150"}
    async with client.post("/v1/chat/completions", json={"model": "a/m", **CHAT}, headers=headers) as response:
        assert response.status == 504
        assert (await response.json())["error"]["code"] == "upstream_timeout"
    attempt = (await gateway.outcome()).attempts[0]
    assert (attempt.state, attempt.error_code) == (SettlementState.ESTIMATED, "timeout")
    assert attempt.usage.input > 0


@pytest.mark.parametrize("stream", [True, False])
async def test_client_that_leaves_cancels_the_upstream_and_is_billed(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, stream: bool
) -> None:
    pieces = sse_script(*STREAM[:2], done=False).pieces if stream else []
    kind = "text/event-stream" if stream else "application/json"
    provider.script("a", Script(headers={"content-type": kind}, pieces=pieces, hang=True))
    call = asyncio.ensure_future(client.post("/v1/chat/completions", json={"model": "a/m", "stream": stream, **CHAT}))
    async with asyncio.timeout(5):
        while not provider.received:
            await asyncio.sleep(0.005)
        if stream:
            await (await call).content.readany()
            (await call).close()
        else:
            call.cancel()
        await provider.aborted.wait()
    outcome = await gateway.outcome()
    attempt = outcome.attempts[0]
    assert (outcome.status, outcome.error_code) == (499, "client_closed_request")
    assert attempt.state is SettlementState.ESTIMATED
    assert attempt.usage.input > 0
    assert not stream or attempt.usage.output >= 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("chat/completions", b"{", {}, 400, "invalid_json"),
        ("chat/completions", b"[]", {}, 400, "invalid_json"),
        ("chat/completions", b'{"messages":[]}', {}, 400, "missing_required_parameter"),
        ("chat/completions", b'{"model":7}', {}, 400, "invalid_type"),
        ("chat/completions", b'{"model":"both","stream":"yes"}', {}, 400, "invalid_type"),
        ("chat/completions", b'{"model":"both","n":18446744073709551616}', {}, 400, "invalid_request"),
        ("chat/completions", b'{"model":"both","x":' + b"[" * 65 + b"]" * 65 + b"}", {}, 400, "invalid_request"),
        ("chat/completions", b'{"model":"both","x":' + b"[" * 5000 + b"]" * 5000 + b"}", {}, 400, "invalid_json"),
        ("chat/completions", b'{"model":"nope"}', {}, 404, "model_not_found"),
        ("chat/completions", b'{"model":"a/other"}', {}, 404, "model_not_found"),
        ("chat/completions", b'{"model":"both"}', {"content-encoding": "gzip"}, 415, "unsupported_encoding"),
        ("chat/completions", b'{"model":"both"}', {"x-tollway-metadata": "[]"}, 400, "invalid_header"),
        ("chat/completions", b'{"model":"both"}', {"x-tollway-timeout-ms": "-1"}, 400, "invalid_header"),
        ("chat/completions", b" " * (1 << 20) + b"{}", {}, 413, "request_too_large"),
        ("chat/completions", b"{}", {"authorization": "Bearer twk_nope"}, 401, "invalid_api_key"),
        ("responses", b"{}", {}, 404, "not_supported"),
        ("nonsense", b"{}", {}, 404, "unknown_url"),
        ("models", b"{}", {}, 405, "method_not_allowed"),
    ],
)
async def test_bad_input(
    client: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with client.post(f"/v1/{path}", data=body, headers=headers) as response:
        assert response.status == status
        error = (await response.json())["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"].startswith("req_")


async def test_slow_body_is_cut_off(gateway: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.key}\r\ncontent-length: 10\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert b"408" in await reader.readline()
    writer.close()


async def test_models_are_those_of_the_key(gateway: RunningGateway, client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["a/m", "both"]
    assert gateway.source.current is not None
    narrow = virtual_key("a/.*")
    entries = {digest: replace(entry, key=narrow) for digest, entry in gateway.source.current.keys.items()}
    gateway.source.current = replace(gateway.source.current, keys=entries)
    async with client.get("/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["a/m"]
    async with client.get("/v1/models/a/m") as response:
        assert (await response.json())["id"] == "a/m"
    async with client.get("/v1/models/both") as response:
        assert response.status == 404
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (403, "model_not_allowed")
    outcome = await gateway.outcome()
    assert (outcome.status, outcome.attempts) == (403, [])


async def test_full_sink_refuses_before_the_call_begins(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    gateway.sink.is_full = True
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (503, "overloaded")
        assert response.headers["retry-after"]
    assert provider.received == []


def recorded_calls() -> list[Recording]:
    return [r for r in read_recordings() if r.request and r.status == 200 and b'"error"' not in r.body]


@pytest.mark.parametrize("recording", recorded_calls(), ids=lambda r: r.id)
async def test_recorded_calls_pass_value_for_value(provider: ScriptedUpstream, recording: Recording) -> None:
    kind = "text/event-stream" if recording.is_stream else "application/json"
    base_url = provider.script("r", Script(headers={"content-type": kind}, pieces=[recording.body]))
    asked = {**(recording.request or {}), "model": "r/some-model"}
    running = await start_gateway([upstream("r", base_url)], [])
    try:
        async with (
            aiohttp.ClientSession(running.url, headers={"x-api-key": running.key}) as session,
            session.post(recording.endpoint, json=asked) as response,
        ):
            assert response.status == 200
            passed = await response.read()
        outcome = await running.outcome()
    finally:
        await running.stop()
    wanted, is_openais = {**asked, "model": "some-model"}, recording.api.startswith("openai.")
    if asked.get("stream"):
        wanted["stream_options"] = {**(asked.get("stream_options") or {}), "include_usage": True}
        assert passed.endswith(b"data: [DONE]\n\n")
        sent = [json.loads(line[5:]) for line in recording.body.decode().splitlines() if line.startswith("data: {")]
        got = [json.loads(line) for line in data_lines(passed.decode())[:-1]]
        keeps_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        assert not is_openais or got == [c for c in sent if keeps_usage or c.get("choices") or not c.get("usage")]
    else:
        assert not is_openais or passed == recording.body
    assert provider.received[-1].body == wanted
    assert outcome.attempts[0].state in (SettlementState.REPORTED, SettlementState.ESTIMATED)


@pytest.mark.parametrize("stream", [True, False])
async def test_call_cut_by_the_end_of_the_process_is_settled_and_told(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, stream: bool
) -> None:
    pieces = sse_script(*STREAM[:2], done=False).pieces if stream else []
    kind = "text/event-stream" if stream else "application/json"
    provider.script("a", Script(headers={"content-type": kind}, pieces=pieces, hang=True))
    body = {"model": "a/m", "stream": stream, **CHAT}
    call = asyncio.ensure_future(client.post("/v1/chat/completions", json=body))
    async with asyncio.timeout(5):
        while not provider.received:
            await asyncio.sleep(0.005)
        if stream:
            await (await call).content.readany()
        gateway.presence.end_all("This data plane is stopping. Try again.")
        text = await (await call).text()
    told = json.loads(data_lines(text)[-1] if stream else text)["error"]
    assert told["code"] == "overloaded"
    outcome = await gateway.outcome()
    assert (outcome.status, outcome.attempts[0].state) == (503, SettlementState.ESTIMATED)


async def test_cost_of_an_unpriced_call_is_not_told(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    assert gateway.source.current is not None
    gateway.source.current = replace(gateway.source.current, prices=PriceIndex())
    provider.script("a", json_script({"choices": [], "usage": USAGE}))
    async with client.post("/v1/chat/completions", json={"model": "a/m", **CHAT}) as response:
        assert response.status == 200
        assert "x-tollway-cost-usd" not in response.headers
    assert (await gateway.outcome()).attempts[0].state is SettlementState.UNPRICED


@pytest.mark.parametrize("stream", [True, False])
async def test_client_that_does_not_read_counts_as_running_and_is_dropped(
    gateway: RunningGateway,
    provider: ScriptedUpstream,
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    stream: bool,
) -> None:
    text = "x" * 2_000_000
    script = sse_script(*[chunk(text)] * 8, *STREAM) if stream else json_script({"choices": [], "text": text * 8})
    provider.script("a", script)
    _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]), limit=1024)
    body = json.dumps({"model": "a/m", "stream": stream, **CHAT}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.key}\r\ncontent-length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    async with asyncio.timeout(10):
        while not provider.received:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert gateway.gateway.in_flight == 1
        monkeypatch.setattr("dataplane.ingress.presence.WRITE_STALL_S", 0.2)
        while gateway.gateway.in_flight:
            await asyncio.sleep(0.01)
    writer.transport.abort()
    assert (await gateway.outcome()).attempts[0].usage.output > 0


async def test_waiting_client_is_kept_company_and_an_error_then_comes_in_the_stream(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.ingress.presence.KEEP_ALIVE_S", 0.1)
    provider.script("a", Script(status=400, pause_s=0.6, pieces=[b'{"error":{"message":"no","code":"c"}}']))
    async with client.post("/v1/chat/completions", json={"model": "a/m", "stream": True, **CHAT}) as response:
        assert response.status == 200
        text = await response.text()
    assert text.startswith(": keep-alive\n\n")
    assert json.loads(data_lines(text)[-1])["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": None,
        "code": "c",
    }
    assert (await gateway.outcome()).status == 400


async def test_control_characters_in_a_model_are_refused(
    gateway: RunningGateway, client: aiohttp.ClientSession
) -> None:
    async with client.post("/v1/chat/completions", json={"model": "b/x\nset-cookie: y", **CHAT}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_value")
    assert response.headers["server"] == "tollway"


async def test_model_beyond_ascii_is_told_percent_encoded(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    provider.script("b", json_script({"choices": [], "usage": USAGE}))
    async with client.post("/v1/chat/completions", json={"model": "b/modèle", **CHAT}) as response:
        assert response.status == 200
        assert response.headers["x-tollway-model"] == "mod%C3%A8le"
    assert provider.received[0].body["model"] == "modèle"


async def test_client_that_waits_for_continue_is_told(gateway: RunningGateway, provider: ScriptedUpstream) -> None:
    provider.script("a", json_script({"choices": [], "usage": USAGE}))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    body = json.dumps({"model": "a/m", **CHAT}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.key}\r\nexpect: 100-continue\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert b" 200 " in await reader.readline()
    writer.close()
