"""Answers of odd but lawful providers, through the real pipeline on real sockets."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from dataplane.snapshot import Secret, Target
from tests.fakes.gateway import RunningGateway, route, start_gateway, upstream
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script
from tollway.kernel.usage import SettlementState

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
DELTA = {"role": "assistant", "content": "hi"}
BEGUN = {**CHUNK, "choices": [{"index": 0, "delta": DELTA, "finish_reason": None}]}
ENDED = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
REPORT = {**CHUNK, "choices": [], "usage": USAGE}
CHAT = {"messages": [{"role": "user", "content": "hello there"}]}
END_OF_ANSWER = "end of an answer"
EVENT_STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
async def gateway(provider: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    a, b = upstream("a", f"{provider.url}/a"), upstream("b", f"{provider.url}/b")
    running = await start_gateway([a, b], [route("both", Target(a, "m"), Target(b, "m"))])
    yield running
    await running.stop()


async def stream(client: aiohttp.ClientSession, **fields: Any) -> list[str]:
    """Data lines of a streamed chat that is answered with 200."""
    body = {"model": "both", "stream": True, "stream_options": {"include_usage": True}, **CHAT, **fields}
    async with client.post("/v1/chat/completions", json=body) as response:
        text = await response.text()
        assert response.status == 200, text
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


async def test_json_answer_to_a_stream_is_told_as_one(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    provider.script("a", json_script({"id": "x", "model": "m-1", "choices": [choice], "usage": USAGE}))
    *chunks, last = await stream(client)
    begun, ended, report = [json.loads(chunk) for chunk in chunks]
    assert last == "[DONE]"
    assert begun["choices"][0]["delta"] == message
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert report["usage"] == USAGE
    attempt = (await gateway.outcome()).attempts[0]
    assert (attempt.state, attempt.usage.output) == (SettlementState.REPORTED, 5)


@pytest.mark.parametrize(
    "kind",
    [
        "text/event-stream; charset=utf-8",
        "Text/Event-Stream;charset=UTF-8",
        *("application/json", "text/plain; charset=utf-8", "application/octet-stream"),
    ],
)
async def test_stream_of_any_type_is_told_as_one(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, kind: str
) -> None:
    provider.script("a", Script(headers={"content-type": kind}, pieces=sse_script(BEGUN, ENDED, REPORT).pieces))
    begun, *_, last = await stream(client)
    assert (json.loads(begun)["choices"][0]["delta"], last) == (DELTA, "[DONE]")
    (attempt,) = (await gateway.outcome()).attempts
    assert (attempt.state, attempt.usage.output) == (SettlementState.REPORTED, 5)


async def test_done_ends_the_answer_though_the_body_goes_on(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    script = sse_script(BEGUN, ENDED, REPORT)
    provider.script("a", Script(headers=EVENT_STREAM, pieces=script.pieces, hang=True))
    async with asyncio.timeout(5):
        assert (await stream(client))[-1] == "[DONE]"
        await provider.aborted.wait()
    outcome = await gateway.outcome()
    assert (outcome.status, outcome.attempts[0].state) == (200, SettlementState.REPORTED)


async def test_connection_is_kept_when_the_body_ends_after_done() -> None:
    peers: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            body = b"".join(sse_script(BEGUN, ENDED, REPORT).pieces)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(body), body))
            await answered.wait()
            writer.write(b"0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    running = await start_gateway([upstream("a", f"http://127.0.0.1:{address[1]}")], [])
    async with aiohttp.ClientSession(running.url, headers={"x-api-key": running.key}) as client, asyncio.timeout(5):
        for _ in range(3):
            answered = asyncio.Event()
            lines = await stream(client, model="a/m")
            answered.set()
            assert lines[-1] == "[DONE]"
            while any(task.get_name() == END_OF_ANSWER for task in asyncio.all_tasks()):
                await asyncio.sleep(0.001)
    assert len(peers) == 1
    await running.stop()
    server.close()
    peers[0].close()


async def test_stream_without_an_answer_falls_back(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    provider.script("a", sse_script())
    provider.script("b", sse_script(BEGUN, ENDED, REPORT))
    assert (await stream(client))[-1] == "[DONE]"
    first, second = (await gateway.outcome()).attempts
    assert (first.error_code, second.state) == ("protocol", SettlementState.REPORTED)


async def test_event_of_several_lines_reaches_the_client_as_one(
    provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    pretty = json.dumps(BEGUN, indent=1).replace("\n", "\ndata: ").encode()
    pieces = [b"data: " + pretty + b"\n\n", *sse_script(ENDED).pieces]
    provider.script("a", Script(headers=EVENT_STREAM, pieces=pieces))
    assert [json.loads(line) for line in (await stream(client))[:-1]] == [BEGUN, ENDED]


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_client_of_http_1_0_gets_a_stream_without_transfer_coding_that_ends_with_the_connection(
    gateway: RunningGateway, provider: ScriptedUpstream, connection: str
) -> None:
    provider.script("a", sse_script(BEGUN, ENDED))
    body = json.dumps({"model": "both", "stream": True, **CHAT}).encode()
    address = URL(gateway.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST /v1/chat/completions HTTP/1.0\r\nx-api-key: {gateway.key}\r\nconnection: {connection}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(5):
        head, _, text = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    assert "transfer-encoding" not in head.lower()
    *chunks, last, end = text.split("\n\n")
    assert [json.loads(chunk.removeprefix("data: ")) for chunk in chunks] == [BEGUN, ENDED]
    assert (last, end) == ("data: [DONE]", "")


async def test_usage_before_the_break_is_a_part(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    early = BEGUN | {"usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}
    provider.script("a", sse_script(early, BEGUN, BEGUN, done=False, cut=True))
    assert "error" in json.loads((await stream(client))[-1])
    attempt = (await gateway.outcome()).attempts[0]
    assert attempt.state is SettlementState.PARTIAL
    assert (attempt.usage.input, attempt.usage.output) == (3, 4)


async def test_usage_before_the_first_content_of_a_lost_answer_is_booked(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    empty = {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    early = empty | {"usage": {"prompt_tokens": 7777, "completion_tokens": 2, "total_tokens": 7779}}
    provider.script("a", sse_script(early, empty, done=False, cut=True))
    provider.script("b", sse_script(BEGUN, ENDED, REPORT))
    assert (await stream(client))[-1] == "[DONE]"
    lost, answered = (await gateway.outcome()).attempts
    assert (lost.state, lost.usage.input, lost.usage.output) == (SettlementState.PARTIAL, 7777, 2)
    assert (lost.error_code, lost.response_model) == ("protocol", "m-1")
    assert (answered.state, answered.usage.input) == (SettlementState.REPORTED, 10)


async def test_client_is_told_usage_once_where_the_meter_is_told_it_before(provider: ScriptedUpstream) -> None:
    started = {"id": "m", "type": "message", "model": "claude-x", "usage": {"input_tokens": 9, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    provider.script("a", sse_script(*events, done=False))
    running = await start_gateway([replace(upstream("a", f"{provider.url}/a"), provider="anthropic")], [])
    async with aiohttp.ClientSession(running.url, headers={"x-api-key": running.key}) as client:
        chunks = [json.loads(line) for line in (await stream(client, model="a/claude-x"))[:-1]]
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks if not chunk["choices"]] == [5]
    assert (await running.outcome()).attempts[0].usage.output == 5
    await running.stop()


@pytest.mark.parametrize(
    ("spoken", "headers"),
    [("anthropic", {"anthropic-beta": "context-1m-2025-08-07"}), ("openai", {"openai-beta": "o"})],
)
async def test_betas_reach_the_dialect_that_they_are_of(
    provider: ScriptedUpstream, spoken: str, headers: dict[str, str]
) -> None:
    running = await start_gateway([replace(upstream("a", f"{provider.url}/a"), provider=spoken)], [])
    told = {"anthropic-beta": "context-1m-2025-08-07", "openai-beta": "o", "x-api-key": running.key}
    async with aiohttp.ClientSession(running.url, headers=told) as client:
        await (await client.post("/v1/chat/completions", json={"model": "a/m", **CHAT})).read()
    received = {name: value for name, value in provider.received[0].headers.items() if name.endswith("-beta")}
    assert received == headers
    await running.stop()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_usage_of_a_whole_answer_that_failed_is_booked(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, is_stream: bool
) -> None:
    choice = {"index": 0, "message": DELTA, "finish_reason": "insufficient_system_resource"}
    used = {"prompt_tokens": 7777, "completion_tokens": 2, "total_tokens": 7779}
    failed = {"id": "x", "model": "m-1", "choices": [choice], "usage": used, "service_tier": "flex"}
    provider.script("a", json_script(failed))
    provider.script("b", json_script({"choices": [choice | {"finish_reason": "stop"}], "usage": USAGE}))
    body = {"model": "both", "stream": is_stream, **CHAT}
    async with client.post("/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        await response.read()
    lost, answered = (await gateway.outcome()).attempts
    assert (lost.error_code, lost.state, lost.service_tier) == ("overloaded", SettlementState.PARTIAL, "flex")
    assert (lost.usage.input, lost.usage.output) == (7777, 2)
    assert (answered.state, answered.usage.input) == (SettlementState.REPORTED, 10)


async def test_half_a_surrogate_pair_passes(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    choice = rb'{"message":{"content":"\ud83d"},"finish_reason":"stop"}'
    answer = rb'{"model":"m\ud83d","choices":[%b],"usage":{"prompt_tokens":3}}' % choice
    provider.script("a", Script(pieces=[answer]))
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert (response.status, await response.read()) == (200, answer)
    attempt = (await gateway.outcome()).attempts[0]
    assert (attempt.response_model, attempt.usage.input) == ("m\N{REPLACEMENT CHARACTER}", 3)


async def test_packed_refusal_is_told_in_words(provider: ScriptedUpstream, client: aiohttp.ClientSession) -> None:
    packed = gzip.compress(b'{"error":{"message":"too long","code":"context_length_exceeded"}}')
    provider.script("a", Script(400, {"content-type": "application/json", "content-encoding": "gzip"}, [packed]))
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    assert (error["message"], error["code"]) == ("too long", "context_length_exceeded")


@pytest.mark.parametrize("others_answer", [True, False])
async def test_upstream_that_is_out_of_credit_is_the_operators(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession, others_answer: bool
) -> None:
    refusal = json_script({"error": {"message": "pay up", "code": "insufficient_quota"}}, 429)
    provider.script("a", refusal)
    provider.script("b", json_script({"choices": [], "usage": USAGE}) if others_answer else refusal)
    async with client.post("/v1/chat/completions", json={"model": "both", **CHAT}) as response:
        assert response.status == (200 if others_answer else 502)
        assert ("pay up" in await response.text()) == (not others_answer)
        assert "retry-after" not in response.headers
    assert [a.upstream.id for a in (await gateway.outcome()).attempts] == ["a", "b"]


async def test_usage_that_stands_in_headers_alone_is_the_providers_word(provider: ScriptedUpstream) -> None:
    provider.script("a", json_script({"embeddings": [[0.5]]}, x_amzn_bedrock_input_token_count="77"))
    place = replace(upstream("a", f"{provider.url}/a"), provider="bedrock", region="us-east-1", secret=Secret("ABSKx"))
    running = await start_gateway([place], [])
    async with aiohttp.ClientSession(running.url, headers={"x-api-key": running.key}) as client:
        body = {"model": "a/cohere.embed-english-v3", "input": "hello there"}
        async with client.post("/v1/embeddings", json=body) as response:
            assert (await response.json())["usage"]["prompt_tokens"] == 77
    attempt = (await running.outcome()).attempts[0]
    assert (attempt.state, attempt.usage.input) == (SettlementState.REPORTED, 77)
    await running.stop()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_knows_functions_is_answered_in_functions(
    provider: ScriptedUpstream, is_stream: bool
) -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}
    provider.script("a", json_script({"type": "message", "content": [use], "stop_reason": "tool_use"}))
    running = await start_gateway([replace(upstream("a", f"{provider.url}/a"), provider="anthropic")], [])
    asked = {"model": "a/claude-x", "functions": [{"name": "f"}], **CHAT, "stream": is_stream}
    async with aiohttp.ClientSession(running.url, headers={"x-api-key": running.key}) as client:
        if is_stream:
            lines = [json.loads(line) for line in (await stream(client, **asked))[:-1]]
        else:
            lines = [await (await client.post("/v1/chat/completions", json=asked)).json()]
    told = [choice.get("delta") or choice.get("message") or {} for line in lines for choice in line["choices"]]
    calls = [said["function_call"] for said in told if "function_call" in said]
    assert "".join(call.get("name", "") for call in calls) == "f"
    assert json.loads("".join(call["arguments"] for call in calls)) == {"x": 1}
    assert [c["finish_reason"] for line in lines for c in line["choices"] if c["finish_reason"]] == ["function_call"]
    sent = provider.received[0].body
    assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    await running.stop()


async def test_embeddings_without_usage_have_no_output(
    gateway: RunningGateway, provider: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    provider.script("a", json_script({"data": [{"embedding": [0.5], "index": 0}]}))
    async with client.post("/v1/embeddings", json={"model": "both", "input": "hello there"}) as response:
        assert response.status == 200
    attempt = (await gateway.outcome()).attempts[0]
    assert (attempt.state, attempt.usage.output) == (SettlementState.ESTIMATED, 0)
    assert attempt.usage.input > 0
