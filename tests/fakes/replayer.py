"""A provider that gives recorded answers: whole, or in pieces so small that they cut every event."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_PASSED_HEADERS = frozenset(
    (
        "content-type",
        "date",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "request-id",
        "x-request-id",
        "apim-request-id",
        "x-amzn-requestid",
        "x-amzn-errortype",
        "x-amzn-bedrock-input-token-count",
        "x-amzn-bedrock-output-token-count",
    )
)
_PASSED_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded answer. `piece_bytes` is the size of the pieces that its body is sent in, 0 for the whole at once.

    Of `headers` only those go out that say what the answer is, how it is named or when to try again. `tool` names a
    tool in an answer in Anthropic's format: there it stands for the one that the request forces, if it forces any.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    piece_bytes: int = 0
    tool: str = ""

    def body_for(self, request: "ReplayedRequest") -> bytes:
        """The body that answers `request`."""
        forced = forced_tool(request.json) if self.tool else ""
        return self.body.replace(_quoted(self.tool), _quoted(forced)) if forced else self.body

    def pieces(self, body: bytes) -> list[bytes]:
        size = self.piece_bytes or len(body) or 1
        return [body[at : at + size] for at in range(0, len(body), size)]

    def safe_headers(self) -> dict[str, str]:
        named = {name.lower(): value for name, value in self.headers.items()}
        return {n: v for n, v in named.items() if n in _PASSED_HEADERS or n.startswith(_PASSED_PREFIXES)}


@dataclass(frozen=True, slots=True)
class ReplayedRequest:
    """One request as it came; `path` is as it was sent, below the token; header names are lower-case."""

    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Replayer:
    """Answers POST /TOKEN/anything with the exchange that was laid down for TOKEN, as often as it is asked for."""

    def __init__(self) -> None:
        self.url = ""
        self._exchanges: dict[str, Exchange] = {}
        self._received: dict[str, list[ReplayedRequest]] = {}
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        server = web.Server(self._answer, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def lay(self, token: str, exchange: Exchange) -> str:
        """Lays `exchange` down; the base URL at which it is to be had. A token has no slash."""
        self._exchanges[token] = exchange
        self._received[token] = []
        return f"{self.url}/{token}"

    def received(self, token: str) -> list[ReplayedRequest]:
        """The requests that came for `token`, the oldest first."""
        return self._received[token]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        token, _, path = request.raw_path.removeprefix("/").partition("/")
        exchange = self._exchanges.get(token)
        if exchange is None:
            return web.Response(status=404, text=f"nothing is laid down for {token}")
        request._client_max_size = _MAX_REQUEST_BYTES
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = ReplayedRequest(f"/{path}", headers, await request.read())
        self._received[token].append(received)
        return await _replay(request, exchange, exchange.body_for(received))


def forced_tool(request: Any) -> str:
    """The tool that a request in Anthropic's format must be answered with, "" for none."""
    choice = request.get("tool_choice") if isinstance(request, dict) else None
    if not isinstance(choice, dict) or choice.get("type") not in ("tool", "any"):
        return ""
    names = [tool.get("name") for tool in request.get("tools") or []]
    return str(choice.get("name") or (names[0] if len(names) == 1 else ""))


def _quoted(name: str) -> bytes:
    return json.dumps(name).encode()


async def _replay(request: web.BaseRequest, exchange: Exchange, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=exchange.status, headers=exchange.safe_headers())
    if not exchange.piece_bytes:
        response.content_length = len(body)
    await response.prepare(request)
    for piece in exchange.pieces(body):
        await response.write(piece)
        # A turn of the loop sends the piece, and lets a reader in this process take it, before the next one.
        await asyncio.sleep(0)
    await response.write_eof()
    return response
