"""Clients that do not keep up with their answers: bounded, billed for what came, and never told two things at once."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dataplane.ingress import writers
from dataplane.snapshot import Target
from tests.fakes.gateway import RunningGateway, route, start_gateway, upstream
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script
from tollway.kernel.usage import SettlementState

BUFFER_BYTES = 8 * 1024
CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
WORD = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
ENDED = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
HEAD_OF_ANSWER = b"HTTP/1.1 "


def reported(tokens: int) -> dict[str, Any]:
    return {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10}


@pytest.fixture
async def gateway(provider: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    a = upstream("a", f"{provider.url}/a", "m")
    running = await start_gateway([a], [route("m", Target(a, "m"))], send_buffer_bytes=BUFFER_BYTES)
    yield running
    await running.stop()


@pytest.fixture
def client(gateway: RunningGateway) -> Any:
    """A connection whose own buffer is small, too."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    connection.setblocking(False)
    yield connection
    connection.close()


async def ask(gateway: RunningGateway, client: socket.socket, *, stream: bool = True, headers: str = "") -> None:
    """Sends a call, and reads nothing of its answer."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", int(gateway.url.rpartition(":")[2])))
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.key}\r\n{headers}"
    await loop.sock_sendall(client, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


async def wait_until_held(gateway: RunningGateway) -> None:
    """Until more of an answer waits for the client than is sent on without waiting."""
    async with asyncio.timeout(5):
        while True:
            for watch in list(gateway.presence._watches):
                transport = watch.request.transport
                if transport is not None and transport.get_write_buffer_size() > writers._HIGH_WATER_BYTES:
                    return
            await asyncio.sleep(0.005)


async def read_rest(client: socket.socket, end: bytes = b"") -> bytes:
    """All that comes until the connection is closed, or `end` has come."""
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(10):
        while not (end and got.endswith(end)):
            try:
                piece = await loop.sock_recv(client, 65536)
            except ConnectionError:
                break
            if not piece:
                break
            got += piece
    return got


async def test_deadline_of_a_call_holds_while_its_client_reads_slowly(
    gateway: RunningGateway, provider: ScriptedUpstream, client: socket.socket
) -> None:
    provider.script("a", sse_script(*[WORD] * 100_000, done=False))
    began_s = time.monotonic()
    await ask(gateway, client, headers="x-tollway-timeout-ms: 700\r\n")
    async with asyncio.timeout(10):
        while not gateway.sink.outcomes:
            await asyncio.get_running_loop().sock_recv(client, 4096)
            await asyncio.sleep(0.005)
    assert time.monotonic() - began_s >= 0.7
    assert (await gateway.outcome()).error_code == "upstream_timeout"


@pytest.mark.parametrize("is_in_the_last_chunk", [True, False])
async def test_client_that_leaves_pays_what_the_upstream_had_told_by_then(
    gateway: RunningGateway, provider: ScriptedUpstream, client: socket.socket, *, is_in_the_last_chunk: bool
) -> None:
    usage = {"usage": reported(1234)}
    ends = [ENDED | usage] if is_in_the_last_chunk else [ENDED, CHUNK | {"choices": []} | usage]
    provider.script("a", sse_script(*[WORD] * 1500, *ends))
    await ask(gateway, client)
    await wait_until_held(gateway)
    await asyncio.sleep(0.2)
    client.close()
    outcome = await gateway.outcome()
    attempt = outcome.attempts[0]
    assert outcome.client_gone
    assert (attempt.state, attempt.usage.input, attempt.usage.output) == (SettlementState.REPORTED, 10, 1234)


async def test_stream_that_is_cut_ends_with_the_error_and_the_end_of_its_body(
    gateway: RunningGateway, provider: ScriptedUpstream, client: socket.socket
) -> None:
    pieces = sse_script(*[WORD] * 8000, done=False).pieces
    provider.script("a", Script(headers={"content-type": "text/event-stream"}, pieces=pieces, hang=True))
    await ask(gateway, client)
    await wait_until_held(gateway)
    gateway.presence.end_all("This data plane is stopping.")
    got = await read_rest(client, b"\r\n0\r\n\r\n")
    assert b"This data plane is stopping." in got.rpartition(b"data: ")[2]
    assert got.endswith(b"\r\n0\r\n\r\n")
    assert got.count(HEAD_OF_ANSWER) == 1


async def test_nothing_follows_an_answer_that_is_cut_on_its_way(
    gateway: RunningGateway, provider: ScriptedUpstream, client: socket.socket
) -> None:
    message = {"role": "assistant", "content": "w " * 150_000}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice]}
    provider.script("a", json_script(answer | {"usage": reported(9)}))
    await ask(gateway, client, stream=False)
    await wait_until_held(gateway)
    gateway.presence.end_all("This data plane is stopping.")
    assert (await read_rest(client)).count(HEAD_OF_ANSWER) == 1
    assert (await gateway.outcome()).attempts[0].state is SettlementState.REPORTED


async def test_stream_whose_end_cannot_be_written_is_cut(
    gateway: RunningGateway, provider: ScriptedUpstream, client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(renderer: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(writers._HubRenderer, "finish", fail)
    provider.script("a", sse_script(WORD, ENDED))
    await ask(gateway, client)
    got = await read_rest(client)
    assert got.count(HEAD_OF_ANSWER) == 1
    assert not got.endswith(b"\r\n0\r\n\r\n")
