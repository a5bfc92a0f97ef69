"""A webhook receiver on a real socket that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebhookReceiver:
    """`answers` are given in turn, the last one for ever: a status, with headers, or "hang"."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]] | str] = field(default_factory=lambda: [(200, {})])
    received: list[Received] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for(self, is_there: Callable[[list[Received]], bool], timeout_s: float = 20.0) -> list[Received]:
        async with asyncio.timeout(timeout_s):
            while not is_there(self.received):
                self.changed.clear()
                await self.changed.wait()
        return self.received

    async def handle(self, request: web.Request) -> web.Response:
        self.received.append(Received(request.path, CIMultiDict(request.headers), await request.read()))
        self.changed.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            await asyncio.Event().wait()
        assert not isinstance(answer, str)
        return web.Response(status=answer[0], headers=answer[1])


@asynccontextmanager
async def open_receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
