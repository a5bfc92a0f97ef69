"""The simulated provider's faults, and the truth log that tells of them whatever is killed."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest


@asynccontextmanager
async def sim(log: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The base URL and the process of a sim that writes to `log`; it is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tollctl.sim", "--truth-log", str(log)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "one two three"}], "user": "u", **fields}


def truth(log: Path) -> list[dict[str, Any]]:
    """The last record of each call, in the order of their first ones."""
    calls: dict[str, dict[str, Any]] = {}
    for line in log.read_text().splitlines():
        record = json.loads(line)
        calls[record["call"]] = record
    return list(calls.values())


async def until(log: Path, ending: str, *, count: int = 1, timeout_s: float = 5.0) -> dict[str, Any]:
    """The last record that ended so, once there are `count`."""
    deadline_s = time.monotonic() + timeout_s
    while len(ended := [record for record in truth(log) if record["ending"] == ending]) < count:
        assert time.monotonic() < deadline_s, truth(log)
        await asyncio.sleep(0.01)
    return ended[-1]


async def read_until(response: aiohttp.ClientResponse, words: int) -> None:
    seen = 0
    async for line in response.content:
        seen += b'"content":"' in line and b'"content":""' not in line
        if seen == words:
            return


async def test_truth_is_on_disk_before_a_client_sees_it(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    async with aiohttp.ClientSession() as http:
        async with sim(log) as (url, process):
            headers = {"x-request-id": "r-1"}
            body = chat("stream-50", stream=True, stream_options={"include_usage": True})
            async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
                await read_until(response, 5)
                process.kill()
                await process.wait()
        [record] = truth(log)
        assert record["output_tokens"] >= 5
        assert record["cost_nano_usd"] == 3 * 1_000 + record["output_tokens"] * 4_000
        assert (record["user"], record["request_id"], record["model"]) == ("u", "r-1", "stream-50")
        assert (record["ending"], record["input_tokens"], record["reports_usage"]) == ("running", 3, True)
        with log.open("ab") as torn:
            torn.write(b'{"call": "torn')
        async with sim(log) as (url, _), http.post(f"{url}/v1/chat/completions", json=chat("lorem-4")) as response:
            assert response.status == 200
    lines = log.read_text().splitlines()
    assert [line for line in lines if not line.endswith("}")] == ['{"call": "torn']
    last = json.loads(lines[-1])
    assert (last["ending"], last["output_tokens"], last["cost_nano_usd"]) == ("completed", 4, 19_000)
    assert last["call"] != record["call"]


async def test_failures_are_true_too(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    async with sim(log) as (url, _), aiohttp.ClientSession() as http:
        for model, status in (("status-503", 503), ("limited-100", 429), ("nope", 404)):
            async with http.post(f"{url}/v1/chat/completions", json=chat(model)) as response:
                assert response.status == status
                assert status != 429 or response.headers["retry-after"] == "1"
    assert [(r["model"], r["status"], r["ending"], r["cost_nano_usd"]) for r in truth(log)] == [
        ("status-503", 503, "failed", 0),
        ("limited-100", 429, "failed", 0),
        ("nope", 404, "failed", 0),
    ]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_an_answer_without_usage(tmp_path: Path, is_stream: bool) -> None:
    log = tmp_path / "truth.jsonl"
    options = {"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}
    body = chat("nousage-6", **options)
    async with (
        sim(log) as (url, _),
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/chat/completions", json=body) as response,
    ):
        assert '"usage"' not in await response.text()
    [record] = truth(log)
    assert (record["ending"], record["output_tokens"], record["reports_usage"]) == ("completed", 6, False)


async def test_malformed_answers(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    async with sim(log) as (url, _), aiohttp.ClientSession() as http:
        async with http.post(f"{url}/v1/chat/completions", json=chat("malformed-3")) as response:
            assert response.status == 200
            with pytest.raises(json.JSONDecodeError):
                json.loads(await response.read())
        received = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async with http.post(f"{url}/v1/chat/completions", json=chat("malformed-3", stream=True)) as response:
                async for piece in response.content.iter_any():
                    received += piece
        *good, bad = [line[6:] for line in received.decode().splitlines() if line.startswith("data: ")]
        assert len([json.loads(line) for line in good]) == 4
        with pytest.raises(json.JSONDecodeError):
            json.loads(bad)
        await until(log, "aborted", count=2)
    assert [(r["ending"], r["output_tokens"]) for r in truth(log)] == [("aborted", 0), ("aborted", 3)]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_dripping_answer_comes_whole(tmp_path: Path, is_stream: bool) -> None:
    async with sim(tmp_path / "truth.jsonl") as (url, _), aiohttp.ClientSession() as http:
        began_s = time.monotonic()
        body = chat("drip-100", stream=is_stream)
        async with http.post(f"{url}/v1/chat/completions", json=body) as response:
            text = await response.text()
        assert time.monotonic() - began_s >= len(text) / 100 * 0.005
    assert text.endswith("data: [DONE]\n\n") if is_stream else json.loads(text)["usage"]["completion_tokens"] == 3


async def test_a_lingering_answer_is_made_and_counted_after_its_client_left(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    async with sim(log) as (url, _), aiohttp.ClientSession() as http:
        async with http.post(f"{url}/v1/chat/completions", json=chat("linger-200", stream=True)) as response:
            await read_until(response, 5)
            response.close()
        record = await until(log, "aborted")
        assert record["output_tokens"] == 100
        async with http.get(f"{url}/stats") as response:
            stats = await response.json()
        assert (stats["aborted"], stats["output_tokens"]) == (1, 100)


async def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    log = tmp_path / "missing" / "truth.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tollctl.sim", "--truth-log", str(log)), stderr=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert str(log) in told.decode() and "--truth-log" in told.decode()
