"""A scripted provider: answers each path with the bytes, in the pieces and at the pace that a test lays down."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(slots=True)
class Script:
    """One answer. `pieces` go out one write each; after them `hang` waits for ever, `cut` breaks the connection."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    pieces: list[bytes] = field(default_factory=list)
    cut: bool = False
    pause_s: float = 0.0
    hang: bool = False


@dataclass(slots=True)
class Received:
    """One request as the provider saw it; header names are lower-case."""

    path: str
    headers: dict[str, str]
    body: Any


class ScriptedUpstream:
    """Answers `/<name>/<anything>` with the next script of `name`; the last one stays."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Script]] = {}
        self.received: list[Received] = []
        self.aborted = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{name}/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def script(self, name: str, *scripts: Script) -> str:
        """Lays down the answers of `name`; the base URL to reach them at."""
        self.scripts[name] = list(scripts)
        return f"{self.url}/{name}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append(
            Received(request.path, {n.lower(): v for n, v in request.headers.items()}, orjson.loads(body))
        )
        scripts = self.scripts[request.match_info["name"]]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        try:
            return await _play(request, script)
        except asyncio.CancelledError:
            self.aborted.set()
            raise


async def _play(request: web.Request, script: Script) -> web.StreamResponse:
    await asyncio.sleep(script.pause_s)
    response = web.StreamResponse(status=script.status, headers=script.headers)
    await response.prepare(request)
    for piece in script.pieces:
        await response.write(piece)
    if script.hang:
        await asyncio.Event().wait()
    if script.cut and request.transport is not None:
        request.transport.abort()
        return response
    await response.write_eof()
    return response


def json_script(body: Any, status: int = 200, **headers: str) -> Script:
    """A complete JSON answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script(status, {"content-type": "application/json", **named}, [orjson.dumps(body)])


def sse_script(*payloads: Any, done: bool = True, cut: bool = False) -> Script:
    """A stream of JSON payloads, one write each, with `[DONE]` at its end."""
    pieces = [b"data: " + orjson.dumps(payload) + b"\n\n" for payload in payloads]
    return Script(200, {"content-type": "text/event-stream"}, pieces + [b"data: [DONE]\n\n"] * done, cut)
