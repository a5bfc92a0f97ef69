"""The upstream of the bench: answers in OpenAI's or Anthropic's format with prepared bytes, at next to no cost."""

import argparse
import asyncio
from typing import cast

import uvloop

STREAM_CHUNKS, LONG_STREAM_CHUNKS = 16, 256
CHUNK_INTERVAL_S = 0.002
_TEXT = b"lorem ipsum " * 55
_USAGE = b'"usage":{"prompt_tokens":20,"completion_tokens":120,"total_tokens":140}'
_RESULT = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],%b}' % (_TEXT, _USAGE)
)
_MESSAGE = (
    b'{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[{"type":"text","text":"%b"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":120}}' % _TEXT
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _answer(result: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(result) + result


def _event(payload: bytes, name: bytes = b"") -> bytes:
    data = (b"event: %b\n" % name if name else b"") + b"data: %b\n\n" % payload
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(content: bytes, finish: bytes) -> bytes:
    return _event(
        b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
        b'"choices":[{"index":0,"delta":{' + content + b'},"finish_reason":' + finish + b"}]}"
    )


def _chunks(count: int) -> list[bytes]:
    end = _event(
        b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],%b}' % _USAGE
    )
    first = _delta(b'"role":"assistant","content":""', b"null")
    last = _delta(b"", b'"stop"') + end + _event(b"[DONE]") + b"0\r\n\r\n"
    return [first, *[_delta(b'"content":"lorem ipsum "', b"null")] * (count - 2), last]


def _message_events(count: int) -> list[bytes]:
    begun = (
        b'{"type":"message_start","message":{"id":"msg_bench","type":"message","role":"assistant","model":"bench",'
        b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":1}}}'
    )
    block = b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
    delta = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lorem ipsum "}}'
    ended = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":120}}'
    first = _event(begun, b"message_start") + _event(block, b"content_block_start")
    last = (
        _event(b'{"type":"content_block_stop","index":0}', b"content_block_stop")
        + _event(ended, b"message_delta")
        + _event(b'{"type":"message_stop"}', b"message_stop")
        + b"0\r\n\r\n"
    )
    return [first, *[_event(delta, b"content_block_delta")] * (count - 2), last]


_ANSWERS = {False: _answer(_RESULT), True: _answer(_MESSAGE)}
"""By whether the call is in Anthropic's format, as are the streams, which are also by whether they are long."""
_STREAMS = {
    (is_messages, is_long): events(LONG_STREAM_CHUNKS if is_long else STREAM_CHUNKS)
    for is_messages, events in ((False, _chunks), (True, _message_events))
    for is_long in (False, True)
}


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
        is_messages = b"/messages " in head
        self._write(_STREAM_HEAD if is_stream else _ANSWERS[is_messages])
        if is_stream:
            self._play(_STREAMS[is_messages, b'long"' in body], 0)

    def _play(self, events: list[bytes], position: int) -> None:
        self._write(events[position])
        if position + 1 < len(events):
            asyncio.get_running_loop().call_later(CHUNK_INTERVAL_S, self._play, events, position + 1)

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
