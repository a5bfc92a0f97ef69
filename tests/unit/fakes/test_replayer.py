"""The replayer gives what was laid down, cut as it was asked to be."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from tests.fakes.replayer import Exchange, Replayer

EVENTS = b'data: {"n": 1}\n\ndata: [DONE]\n\n'
SSE = {"Content-Type": "text/event-stream"}


@pytest.fixture
async def replayer() -> AsyncIterator[Replayer]:
    running = Replayer()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_status_body_and_safe_headers_pass(replayer: Replayer, client: aiohttp.ClientSession) -> None:
    headers = {
        "Content-Type": "application/json",
        "Retry-After": "7",
        "x-amzn-ErrorType": "ThrottlingException",
        "x-request-id": "r1",
        "x-ratelimit-remaining-tokens": "0",
        "content-length": "999",
        "content-encoding": "gzip",
        "set-cookie": "a=b",
    }
    url = replayer.lay("t", Exchange(429, headers, b'{"a": 1}'))
    async with client.post(f"{url}/v1/x", data=b"{}") as response:
        assert (response.status, await response.read()) == (429, b'{"a": 1}')
        assert response.headers["content-length"] == "8"
        for name in ("retry-after", "x-amzn-errortype", "x-request-id", "x-ratelimit-remaining-tokens"):
            assert name in response.headers
        assert "set-cookie" not in response.headers
        assert "content-encoding" not in response.headers


async def test_requests_are_remembered_as_they_were_sent(replayer: Replayer, client: aiohttp.ClientSession) -> None:
    url = replayer.lay("t", Exchange(200, {}, b""))
    target = URL(f"{url}/model/a%3A0/converse?alt=sse", encoded=True)
    async with client.post(target, json={"x": 1}, headers={"X-Key": "k"}) as response:
        assert (response.status, await response.read()) == (200, b"")
    (received,) = replayer.received("t")
    assert received.path == "/model/a%3A0/converse?alt=sse"
    assert received.headers["x-key"] == "k"
    assert received.json == {"x": 1}


@pytest.mark.parametrize("size", [1, 7])
async def test_pieces_come_one_by_one(replayer: Replayer, size: int) -> None:
    url = replayer.lay("t", Exchange(200, SSE, EVENTS, size))
    host, port = url.removeprefix("http://").removesuffix("/t").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /t/x HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200")
    assert b"transfer-encoding: chunked" in head
    pieces: list[bytes] = []
    while length := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append((await reader.readexactly(length + 2))[:-2])
    writer.close()
    assert b"".join(pieces) == EVENTS
    assert {len(piece) for piece in pieces[:-1]} == {size}


async def test_binary_passes_however_it_is_cut(replayer: Replayer, client: aiohttp.ClientSession) -> None:
    body = bytes(range(256)) * 3
    kind = {"content-type": "application/vnd.amazon.eventstream"}
    urls = [replayer.lay(f"t{size}", Exchange(200, kind, body, size)) for size in (0, 1, 7, 5000)]

    async def read(url: str) -> bytes:
        async with client.post(url + "/x") as response:
            assert response.content_type == kind["content-type"]
            return await response.read()

    assert await asyncio.gather(*map(read, urls)) == [body] * 4


async def test_same_exchange_is_given_again_and_unknown_ones_are_not(
    replayer: Replayer, client: aiohttp.ClientSession
) -> None:
    url = replayer.lay("t", Exchange(200, {}, b"one"))
    for _ in range(2):
        async with client.post(f"{url}/x") as response:
            assert await response.read() == b"one"
    assert len(replayer.received("t")) == 2
    async with client.post(f"{replayer.url}/other/x") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("choice", "given"),
    [({"type": "tool", "name": "b"}, "b"), ({"type": "any"}, "b"), ({"type": "auto"}, "a"), (None, "a")],
)
async def test_tool_of_an_answer_is_the_one_that_was_forced(
    replayer: Replayer, client: aiohttp.ClientSession, choice: dict[str, str] | None, given: str
) -> None:
    url = replayer.lay("t", Exchange(200, {}, b'{"name": "a", "input": {"a": 1}}', tool="a"))
    async with client.post(f"{url}/x", json={"tools": [{"name": "b"}], "tool_choice": choice}) as response:
        assert (await response.json(content_type=None))["name"] == given
