"""The simulated provider as a process: pacing, failures, breaks, and the truth that it tells about them."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest

DONE = "data: [DONE]"


@pytest.fixture
async def sim() -> AsyncIterator[str]:
    """The base URL of a fresh process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tollctl.sim", "--port", "0"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    yield line.decode().strip()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def chat(model: str, content: str = "one two three", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


async def stats(http: aiohttp.ClientSession, sim: str) -> Any:
    async with http.get(f"{sim}/stats") as response:
        return await response.json()


async def until_aborted(http: aiohttp.ClientSession, sim: str, count: int) -> Any:
    deadline = time.monotonic() + 5
    while (seen := await stats(http, sim))["aborted"] < count:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.01)
    return seen


async def test_the_official_client_is_content(sim: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{sim}/v1", api_key="any", max_retries=0) as client:
        whole = await client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "a b"}])
        assert whole.choices[0].message.content == "a b"
        assert whole.usage is not None and whole.usage.total_tokens == 4
        stream = await client.chat.completions.create(
            model="lorem-20",
            messages=[{"role": "user", "content": "a"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 20
        vectors = await client.embeddings.create(model="embed", input=["a", "b"], dimensions=8)
        assert [len(one.embedding) for one in vectors.data] == [8, 8]
        assert [model.id async for model in client.models.list()][:1] == ["echo"]
        text = await client.completions.create(model="echo", prompt="hello")
        assert text.choices[0].text == "hello"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "a"}])
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="status-429", messages=[{"role": "user", "content": "a"}])


async def test_statistics_are_what_was_reported(sim: str, http: aiohttp.ClientSession) -> None:
    reported = {"input_tokens": 0, "output_tokens": 0}
    bodies = chat("echo"), chat("lorem-7", n=2), chat("lorem-9", max_tokens=4), chat("json")
    for body in bodies:
        async with http.post(f"{sim}/v1/chat/completions", json=body | {"user": "ann"}) as response:
            usage = (await response.json())["usage"]
        reported["input_tokens"] += usage["prompt_tokens"]
        reported["output_tokens"] += usage["completion_tokens"]
    for body in (chat("status-503"), chat("nope"), {"model": "echo"}):
        async with http.post(f"{sim}/v1/chat/completions", json=body | {"user": "bob"}) as response:
            assert response.status in (400, 404, 503)
    seen = await stats(http, sim)
    assert seen == {
        **reported,
        "requests": 7,
        "completed": 4,
        "aborted": 0,
        "by_user": {
            "ann": {**reported, "requests": 4, "completed": 4, "aborted": 0},
            "bob": {"requests": 3, "completed": 0, "aborted": 0, "input_tokens": 0, "output_tokens": 0},
        },
    }


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_paced_answer_takes_its_time(sim: str, http: aiohttp.ClientSession, is_stream: bool) -> None:
    began = time.monotonic()
    body = chat("stream-50", stream=is_stream, max_tokens=20)
    async with http.post(f"{sim}/v1/chat/completions", json=body) as response:
        await response.read()
    assert 0.4 <= time.monotonic() - began < 2


async def test_a_slow_answer_begins_late(sim: str, http: aiohttp.ClientSession) -> None:
    began = time.monotonic()
    async with http.post(f"{sim}/v1/chat/completions", json=chat("slow-300", stream=True)) as response:
        assert time.monotonic() - began >= 0.3
        assert (await response.text()).rstrip().endswith(DONE)


async def test_a_cut_stream_breaks_after_its_chunks(sim: str, http: aiohttp.ClientSession) -> None:
    received = b""
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.post(f"{sim}/v1/chat/completions", json=chat("cutoff-3", stream=True)) as response:
            assert response.status == 200
            async for piece in response.content.iter_any():
                received += piece
    events = [json.loads(line[6:]) for line in received.decode().splitlines() if line.startswith("data: {")]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "lorem ipsum dolor"
    assert DONE.encode() not in received
    seen = await until_aborted(http, sim, 1)
    assert (seen["input_tokens"], seen["output_tokens"]) == (3, 3)


async def test_a_cut_answer_breaks_in_the_middle(sim: str, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.post(f"{sim}/v1/chat/completions", json=chat("cutoff-3")) as response:
            assert response.status == 200
            await response.read()
    seen = await until_aborted(http, sim, 1)
    assert (seen["input_tokens"], seen["output_tokens"]) == (3, 0)


async def test_a_client_that_leaves_a_stream_is_counted_by_what_was_written(
    sim: str, http: aiohttp.ClientSession
) -> None:
    words = 0
    async with http.post(f"{sim}/v1/chat/completions", json=chat("stream-50", stream=True, user="ann")) as response:
        async for line in response.content:
            words += b'"content":"' in line and b'"content":""' not in line
            if words == 5:
                response.close()
                break
    seen = (await until_aborted(http, sim, 1))["by_user"]["ann"]
    assert (seen["requests"], seen["completed"], seen["input_tokens"]) == (1, 0, 3)
    assert 5 <= seen["output_tokens"] <= 10


async def test_a_client_that_leaves_before_the_answer_is_charged_its_input(
    sim: str, http: aiohttp.ClientSession
) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await http.post(f"{sim}/v1/chat/completions", json=chat("slow-60000"), timeout=aiohttp.ClientTimeout(total=0.2))
    seen = await until_aborted(http, sim, 1)
    assert (seen["requests"], seen["completed"], seen["input_tokens"], seen["output_tokens"]) == (1, 0, 3, 0)


async def test_flaky_answers_are_the_same_in_each_process(sim: str, http: aiohttp.ClientSession) -> None:
    statuses = []
    for _ in range(20):
        async with http.post(f"{sim}/v1/chat/completions", json=chat("flaky-20")) as response:
            statuses.append(response.status)
    failed = [number for number, status in enumerate(statuses, 1) if status == 500]
    seen = await stats(http, sim)
    assert (seen["requests"], seen["completed"]) == (20, 20 - len(failed))
    assert failed == [3, 11, 16]


@pytest.mark.parametrize("path", ["/v1/nothing", "/", "/v1/chat"])
async def test_an_unknown_path_is_an_error_of_openai_s_shape(sim: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.post(f"{sim}{path}", json={}) as response:
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "invalid_request_error"
