"""The upstream of the bench: answers OpenAI-format calls with prepared bytes, at next to no cost of its own."""

import argparse
import asyncio
from typing import cast

import uvloop

STREAM_CHUNKS = 16
CHUNK_INTERVAL_S = 0.002
_USAGE = b'"usage":{"prompt_tokens":20,"completion_tokens":120,"total_tokens":140}'
_RESULT = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"'
    + b"lorem ipsum " * 55
    + b'"},"finish_reason":"stop"}],'
    + _USAGE
    + b"}"
)
_RESULT_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_RESULT) + _RESULT
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(payload: bytes) -> bytes:
    data = b"data: " + payload + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(content: bytes, finish: bytes) -> bytes:
    return _event(
        b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
        b'"choices":[{"index":0,"delta":{' + content + b'},"finish_reason":' + finish + b"}]}"
    )


_STREAM_EVENTS = [_delta(b'"content":"lorem ipsum "', b"null")] * STREAM_CHUNKS
_STREAM_EVENTS[-1] = (
    _delta(b"", b'"stop"') + _event(b'{"id":"x","choices":[],' + _USAGE + b"}") + _event(b"[DONE]") + b"0\r\n\r\n"
)


class UpstreamProtocol(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
        if len(body) < length:
            return
        self._buffer = body[length:]
        is_stream = b'"stream":true' in body or b'"stream": true' in body
        self._write(_STREAM_HEAD if is_stream else _RESULT_ANSWER)
        if is_stream:
            self._play(0)

    def _play(self, position: int) -> None:
        self._write(_STREAM_EVENTS[position])
        if position + 1 < len(_STREAM_EVENTS):
            asyncio.get_running_loop().call_later(CHUNK_INTERVAL_S, self._play, position + 1)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(UpstreamProtocol, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))
