"""One line of the ledger per attempt, whatever the upstream does: what it says it used, and how that is known."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import LedgerEntry
from dataplane.call import Outcome
from dataplane.metering.emitter import SpoolBounds
from dataplane.metering.room import UsageRoom
from dataplane.snapshot import Target
from tests.fakes.gateway import RunningGateway, route, start_gateway, upstream
from tests.fakes.upstream import Script, ScriptedUpstream, json_script, sse_script
from tests.integration.gateway.test_calls import ANSWER, CHAT, STREAM, USAGE, chunk
from tollway.usage.v1.usage_pb2 import UsageEventBatch

EMBEDDING = {"model": "m-1", "data": [{"embedding": [0.5], "index": 0}]}
INPUT = {"input": "hello there, embeddings"}


def answer(usage: Any) -> Script:
    return json_script({**ANSWER, "usage": usage})


def stream(*usages: Any, cut: bool = False) -> Script:
    chunks = [chunk("hello"), *({"id": "x", "choices": [], "usage": usage} for usage in usages)]
    return sse_script(*chunks, done=not cut, cut=cut)


@pytest.fixture
async def gateway(provider: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    """Route `both` tries upstream a, then b, once each."""
    a, b = upstream("a", f"{provider.url}/a"), upstream("b", f"{provider.url}/b")
    running = await start_gateway([a, b], [route("both", Target(a, "m"), Target(b, "n"), max_attempts=2)])
    yield running
    await running.stop()


async def lines_of(outcome: Outcome, root: Path) -> list[LedgerEntry]:
    """What the ledger books of a call, as it has come through the spool."""
    room = UsageRoom.build(root, 5, has_ledger=True, bounds=SpoolBounds())
    attempts, outcome.attempts = outcome.attempts, []
    for attempt in attempts:
        room.emitter.begin(outcome, attempt)
        outcome.attempts.append(attempt)
    room.emitter.emit(outcome)
    await room.emitter.flush(0)
    [message] = (await room.outbox.take()).messages
    return [entry_of(event) for event in UsageEventBatch.FromString(message.payload).events]


ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
ABSURD = {"prompt_tokens": 10**15, "completion_tokens": 10**15}


@pytest.mark.parametrize(
    ("script", "state", "output"),
    [
        (answer(USAGE), "reported", 5),
        (answer(None), "estimated", 2),
        (answer(ZEROS), "estimated", 2),
        (answer({"prompt_tokens": 10, "completion_tokens": 0}), "partial", 2),
        (answer({"prompt_tokens": -10, "completion_tokens": -5}), "estimated", 2),
        (answer(ABSURD), "estimated", 2),
        (answer({"prompt_tokens": "10", "completion_tokens": [5]}), "estimated", 2),
        (Script(pieces=[b"{"], cut=True), "estimated", 0),
        (Script(pieces=[b"not json"]), "estimated", 0),
        (json_script({"error": {"message": "no"}}, 400), "not_billed", 0),
    ],
)
async def test_complete_answers(
    gateway: RunningGateway, provider: ScriptedUpstream, tmp_path: Path, script: Script, state: str, output: int
) -> None:
    provider.script("a", script)
    *_, line = await one_call(gateway, tmp_path, {"model": "a/m", **CHAT})
    assert (line.state.word, line.meters.get("output", 0), line.final) == (state, output, True)
    assert (line.cost_nano_usd > 0) == (state != "not_billed")


@pytest.mark.parametrize(
    ("script", "state", "output"),
    [
        (sse_script(*STREAM), "reported", 5),
        (stream(), "estimated", 3),
        (stream(None), "estimated", 3),
        (stream(ZEROS), "estimated", 3),
        (stream(ABSURD), "estimated", 3),
        (stream(USAGE, ZEROS), "estimated", 3),
        (stream(cut=True), "estimated", 3),
        (stream(USAGE, cut=True), "reported", 5),
    ],
)
async def test_streams(
    gateway: RunningGateway, provider: ScriptedUpstream, tmp_path: Path, script: Script, state: str, output: int
) -> None:
    provider.script("a", script)
    [line] = await one_call(gateway, tmp_path, {"model": "a/m", "stream": True, **CHAT})
    assert (line.state.word, line.meters.get("output", 0)) == (state, output)
    assert line.cost_nano_usd > 0


@pytest.mark.parametrize(
    ("usage", "state", "tokens"),
    [({"prompt_tokens": 4, "total_tokens": 4}, "reported", 4), (None, "estimated", 6), (ZEROS, "estimated", 6)],
)
async def test_embeddings(
    gateway: RunningGateway, provider: ScriptedUpstream, tmp_path: Path, usage: Any, state: str, tokens: int
) -> None:
    provider.script("a", json_script({**EMBEDDING, "usage": usage}))
    [line] = await one_call(gateway, tmp_path, {"model": "a/m", **INPUT}, path="/v1/embeddings")
    assert (line.state.word, line.meters) == (state, {"input": tokens})


@pytest.mark.parametrize(
    ("first", "second", "states"),
    [
        (json_script({}, 500), answer(USAGE), ["not_billed", "reported"]),
        (json_script({}, 429), answer(None), ["not_billed", "estimated"]),
        (Script(pieces=[b"{"], cut=True), json_script({}, 503), ["estimated", "not_billed"]),
        (Script(pieces=[b"[]"]), Script(pieces=[b"{"], cut=True), ["estimated", "estimated"]),
    ],
)
async def test_each_attempt_of_a_call_has_a_line_of_its_own(
    gateway: RunningGateway,
    provider: ScriptedUpstream,
    tmp_path: Path,
    first: Script,
    second: Script,
    states: list[str],
) -> None:
    provider.script("a", first)
    provider.script("b", second)
    lines = await one_call(gateway, tmp_path, {"model": "both", **CHAT})
    assert [line.state.word for line in lines] == states
    assert [line.attempt for line in lines] == [1, 2]
    assert [line.final for line in lines] == [False, True]
    assert len({line.request_id for line in lines}) == 1


async def test_an_upstream_that_cannot_be_reached_costs_nothing(
    gateway: RunningGateway, provider: ScriptedUpstream, tmp_path: Path
) -> None:
    await provider.stop()
    lines = await one_call(gateway, tmp_path, {"model": "both", **CHAT})
    assert [(line.state.word, line.error_code) for line in lines] == [("not_billed", "connect")] * 2


async def test_an_upstream_that_took_the_request_and_fell_silent_may_have_run_it(tmp_path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    silent = upstream("a", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    running = await start_gateway([silent], [route("m", Target(silent, "m"), max_attempts=1)])
    try:
        [line] = await one_call(running, tmp_path, {"model": "m", **CHAT})
    finally:
        await running.stop()
        server.close()
    assert (line.state.word, line.error_code) == ("estimated", "protocol")
    assert line.cost_nano_usd > 0


async def test_a_refused_call_has_one_line_that_costs_nothing(gateway: RunningGateway, tmp_path: Path) -> None:
    [line] = await one_call(gateway, tmp_path, {"model": "nobody/knows", **CHAT})
    assert (line.attempt, line.final, line.state.word, line.cost_nano_usd) == (0, True, "not_billed", 0)


async def one_call(
    gateway: RunningGateway, root: Path, body: dict[str, Any], path: str = "/v1/chat/completions"
) -> list[LedgerEntry]:
    headers = {"authorization": f"Bearer {gateway.key}"}
    async with (
        aiohttp.ClientSession(gateway.url, headers=headers) as session,
        session.post(path, json=body) as response,
    ):
        await response.read()
    return await lines_of(await gateway.outcome(), root)
