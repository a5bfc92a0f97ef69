"""The load generator: keep-alive connections that each send the next call when they have the answer to the last."""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import cast

import uvloop


class ClientProtocol(asyncio.Protocol):
    """One connection. Counts an answer when its last byte has come, and sends the next call."""

    def __init__(self, run: "LoadRun") -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.connection_closed()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not _is_complete(self._buffer):
            return
        self._run.answered(self._buffer.startswith(b"HTTP/1.1 200"), time.perf_counter() - self._sent_s)
        self._buffer = b""
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = self._run.take()
        if request is None:
            self._transport.close()
        else:
            self._sent_s = time.perf_counter()
            self._transport.write(request)


def _is_complete(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n")


class LoadRun:
    """`calls` calls over `concurrency` connections, the requests by turns."""

    def __init__(self, requests: Sequence[bytes], calls: int, concurrency: int) -> None:
        self._requests = cycle(requests)
        self._left = calls
        self._open = concurrency
        self._latencies_s: list[float] = []
        self._failed = 0
        self._over = asyncio.get_running_loop().create_future()

    def take(self) -> bytes | None:
        """The next request; None when there are no more."""
        self._left -= 1
        return next(self._requests) if self._left >= 0 else None

    def answered(self, is_good: bool, latency_s: float) -> None:
        self._latencies_s.append(latency_s)
        self._failed += not is_good

    def connection_closed(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._over.set_result(None)

    async def finish(self) -> dict[str, float]:
        """Calls, failures, seconds, and latency percentiles in milliseconds."""
        began_s = time.perf_counter()
        await self._over
        elapsed_s = time.perf_counter() - began_s
        ordered = sorted(self._latencies_s)
        return {
            "calls": len(ordered),
            "failed": self._failed,
            "elapsed_s": elapsed_s,
            "p50_ms": 1000 * ordered[len(ordered) // 2],
            "p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
        }


def build_request(path: str, key: str, model: str, *, stream: bool) -> bytes:
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. " * 6},
            {"role": "user", "content": "Tell me about lorem ipsum. " * 6},
        ],
    }
    payload = json.dumps(body | ({"stream": True} if stream else {}), separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\naccept: */*\r\nuser-agent: bench\r\ncontent-length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def main(options: argparse.Namespace) -> None:
    keys = options.keys.read_text(encoding="ascii").split() if options.keys else [options.key]
    requests = [build_request("/v1/chat/completions", key, options.model, stream=options.stream) for key in keys]
    run = LoadRun(requests, options.calls, options.concurrency)
    loop = asyncio.get_running_loop()
    for _ in range(options.concurrency):
        await loop.create_connection(lambda: ClientProtocol(run), "127.0.0.1", options.port)
    print(json.dumps(await run.finish()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--key", default="none")
    parser.add_argument("--keys", type=Path, help="a file with a key on each line, used by turns")
    parser.add_argument("--model", default="bench/bench")
    parser.add_argument("--stream", action="store_true")
    uvloop.run(main(parser.parse_args()))
