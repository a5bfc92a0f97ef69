"""The HTTP client towards upstreams, against servers that answer with raw bytes (RFC 9112)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from dataplane.call import UpstreamRequest
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.upstream.http1 import HIGH_WATER_BYTES
from dataplane.upstream.pool import ConnectionPool
from dataplane.upstream.transport import Transport

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[str]:
    """The URL of a server that hands each connection to `peer`."""
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request; b"" when there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


def answering(*answers: bytes, connections: list[int] | None = None, close: bool = False) -> Peer:
    """A peer that gives the n-th request of all connections the n-th answer, the last one from then on."""
    left = list(answers)

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections is not None:
            connections.append(1)
        while await read_request(reader):
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if close:
                break
        writer.close()

    return peer


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    made.close()


def request(url: str, body: bytes = b"{}", **headers: str) -> UpstreamRequest:
    return UpstreamRequest(url, headers, body)


def soon() -> float:
    return time.monotonic() + 5


async def read_answer(transport: Transport, url: str) -> bytes:
    response = await transport.send(request(url), soon())
    body = await response.read(1 << 20, soon())
    response.release()
    return body


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\nretry-after: 9\r\n\r\n",
    ],
)
async def test_connection_is_kept_for_the_next_call(transport: Transport, answer: bytes) -> None:
    connections: list[int] = []
    async with serving(answering(answer, connections=connections)) as url:
        assert [await read_answer(transport, url) for _ in range(3)] == [b"{}"] * 3
    assert len(connections) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n{}",
    ],
)
async def test_answer_that_ends_with_the_connection(transport: Transport, answer: bytes) -> None:
    connections: list[int] = []
    async with serving(answering(answer, connections=connections, close=True)) as url:
        assert [await read_answer(transport, url) for _ in range(2)] == [b"{}"] * 2
    assert len(connections) == 2


async def test_trailers_are_not_headers(transport: Transport) -> None:
    answer = b"HTTP/1.1 429 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nretry-after: 999\r\n\r\n"
    async with serving(answering(answer)) as url:
        response = await transport.send(request(url), soon())
        await response.read(100, soon())
        assert "retry-after" not in response.headers


async def test_kept_connection_that_was_closed_meanwhile_is_replaced(transport: Transport) -> None:
    connections: list[int] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await read_request(reader)
        writer.close()

    async with serving(once) as url:
        assert await read_answer(transport, url) == b"{}"
        assert await read_answer(transport, url) == b"{}"
    assert len(connections) == 2


async def test_unread_answer_is_never_given_to_the_next_call(transport: Transport) -> None:
    size = 2 * HIGH_WATER_BYTES
    large = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    async with serving(answering(large, OK)) as url:
        response = await transport.send(request(url), soon())
        await asyncio.sleep(0.1)
        response.release()
        assert await read_answer(transport, url) == b"{}"


async def test_early_answer_to_an_unsent_request_ends_the_connection(transport: Transport) -> None:
    connections: list[int] = []

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.sleep(5)

    async with serving(early) as url:
        response = await transport.send(request(url, b"x" * (32 << 20)), soon())
        assert await response.read(100, soon()) == b"{}"
        response.release()
        await transport.send(request(url), soon())
    assert len(connections) == 2


async def test_dripped_head_is_bounded_as_a_whole(transport: Transport) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in OK:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    async with serving(drip) as url:
        began_s = time.monotonic()
        with pytest.raises(UpstreamError) as caught:
            await transport.send(request(url), began_s + 0.3)
        assert time.monotonic() - began_s < 1
    assert caught.value.kind is UpstreamErrorKind.TIMEOUT


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"nonsense\r\n\r\n", UpstreamErrorKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", UpstreamErrorKind.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n", UpstreamErrorKind.PROTOCOL),
        (b"", UpstreamErrorKind.PROTOCOL),
    ],
)
async def test_broken_answer(transport: Transport, answer: bytes, kind: UpstreamErrorKind) -> None:
    async with serving(answering(answer, close=True)) as url:
        with pytest.raises(UpstreamError) as caught:
            await read_answer(transport, url)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://a..b/x",
        "http://169.254.169.254/x",
        "http://[fe80::1]/x",
        "http://168.63.129.16/x",
    ],
)
async def test_place_that_cannot_be_reached(transport: Transport, url: str) -> None:
    asked = request(url)
    with pytest.raises(UpstreamError) as caught:
        await transport.send(asked, soon())
    assert caught.value.kind is UpstreamErrorKind.CONNECT
    assert not asked.is_sent


async def test_header_that_would_break_the_request_is_refused(transport: Transport) -> None:
    async with serving(answering(OK)) as url:
        with pytest.raises(UpstreamError):
            await transport.send(request(url, x="a\r\nevil: yes"), soon())


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.upstream.pool.IDLE_S", 0.1)
    closed = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await reader.read()
        closed.set()

    transport = Transport(ConnectionPool())
    async with serving(peer) as url, asyncio.timeout(5):
        assert await read_answer(transport, url) == b"{}"
        await closed.wait()
    transport.close()


async def test_a_request_that_a_kept_connection_lost_after_a_while_is_not_sent_again_unseen(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.upstream.transport.STALE_S", 0.05)
    requests: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while body := await read_request(reader):
            requests.append(body)
            if len(requests) == 2:
                await asyncio.sleep(0.2)
                break
            writer.write(OK)
        writer.close()

    async with serving(peer) as url:
        assert await read_answer(transport, url) == b"{}"
        asked = request(url)
        with pytest.raises(UpstreamError) as caught:
            await transport.send(asked, soon())
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL
    assert (len(requests), asked.is_sent) == (2, True)


def chunked(*pieces: bytes, pause_s: float = 0.0, ends: bool = True) -> Peer:
    """A peer that sends a chunked body, piece by piece, and then its end or none at all."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(pause_s)
        if ends:
            writer.write(b"0\r\n\r\n")
        writer.close()

    return peer


async def test_body_flows_to_its_end_however_often_it_is_stopped(transport: Transport) -> None:
    pieces = [bytes([65 + at % 26]) * 40_000 for at in range(40)]
    taken: list[bytes] = []

    def take(chunk: bytes) -> bool:
        taken.append(chunk)
        return len(taken) % 3 != 0

    async with serving(chunked(*pieces)) as url, asyncio.timeout(10):
        response = await transport.send(request(url), soon())
        while not taken or taken[-1]:
            await response.flow(take, 5.0, soon())
    assert b"".join(taken) == b"".join(pieces)
    assert response.is_reusable


async def test_what_came_before_the_break_is_handed_on_before_it_is_told(transport: Transport) -> None:
    taken: list[bytes] = []

    def take(chunk: bytes) -> bool:
        taken.append(chunk)
        return False

    async with serving(chunked(b"first", b"second", ends=False)) as url:
        response = await transport.send(request(url), soon())
        with pytest.raises(UpstreamError) as caught:
            for _ in range(5):
                await response.flow(take, 5.0, soon())
    assert b"".join(taken) == b"firstsecond"
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


async def test_silence_is_measured_from_the_last_piece(transport: Transport) -> None:
    taken: list[bytes] = []

    def take(chunk: bytes) -> bool:
        taken.append(chunk)
        return True

    async with serving(chunked(*[b"x"] * 10, b"y", pause_s=0.1, ends=False)) as url:
        response = await transport.send(request(url), soon())
        with pytest.raises(UpstreamError):
            await response.flow(take, 0.6, soon())
    assert b"".join(taken) == b"x" * 10 + b"y"

    async with serving(chunked(b"x", pause_s=30)) as url:
        response = await transport.send(request(url), soon())
        began_s = time.monotonic()
        with pytest.raises(UpstreamError) as caught:
            await response.flow(take, 0.2, soon())
        assert 0.2 <= time.monotonic() - began_s < 5
    assert caught.value.kind is UpstreamErrorKind.TIMEOUT


async def test_error_of_who_takes_is_raised_to_who_asked_for_it(transport: Transport) -> None:
    taken: list[bytes] = []

    def take(chunk: bytes) -> bool:
        taken.append(chunk)
        raise ZeroDivisionError

    async with serving(chunked(b"x", b"y", pause_s=0.1)) as url:
        response = await transport.send(request(url), soon())
        with pytest.raises(ZeroDivisionError):
            await response.flow(take, 5.0, soon())
        response.release()
    assert taken == [b"x"]


async def test_body_that_has_arrived_is_not_taken_after_the_deadline(transport: Transport) -> None:
    async with serving(chunked(b"x" * 100_000, b"y")) as url:
        response = await transport.send(request(url), soon())
        with pytest.raises(UpstreamError) as caught:
            while True:
                await response.flow(lambda chunk: False, 5.0, time.monotonic() - 0.001)
    assert caught.value.kind is UpstreamErrorKind.TIMEOUT
