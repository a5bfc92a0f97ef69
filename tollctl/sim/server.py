"""The simulated provider over HTTP."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

import orjson
from aiohttp import web

from tollctl.sim.answers import Choice, compose_choices
from tollctl.sim.asks import Ask, read_body, read_chat, read_embedding, read_text, read_user
from tollctl.sim.embeddings import render_embeddings
from tollctl.sim.errors import SimError, answer_status
from tollctl.sim.formats import DONE, ChatFormat, Event, TextFormat
from tollctl.sim.models import LISTED_MODELS, Behaviour, Model, is_failing_call, parse_model
from tollctl.sim.stats import Stats

_BODY_BYTES_MAX = 64 * 1024 * 1024
_EVENTS_PER_WRITE = 128
_CREATED = 1_735_689_600
_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Format(Protocol):
    """How answers of one path are written."""

    def render_body(self, ask: Ask, call_id: str, choices: list[Choice]) -> bytes: ...

    def render_events(self, ask: Ask, call_id: str, choices: list[Choice]) -> Iterator[Event]: ...


class SimServer:
    """One simulated provider with its statistics. Handlers are cancelled when their client leaves."""

    def __init__(self) -> None:
        self._stats = Stats()
        self._flaky_calls = 0

    def build_app(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        chat, text = ChatFormat(), TextFormat()
        app.router.add_post("/v1/chat/completions", lambda request: self._serve_text(request, read_chat, chat))
        app.router.add_post("/v1/completions", lambda request: self._serve_text(request, read_text, text))
        app.router.add_post("/v1/embeddings", self._serve_embeddings)
        app.router.add_get("/v1/models", _list_models)
        app.router.add_get("/v1/models/{model}", _show_model)
        app.router.add_get("/stats", self._show_stats)
        app.router.add_get("/healthz", _show_health)
        app.router.add_route("*", "/{path:.*}", _refuse_path)
        return app

    async def _show_stats(self, request: web.Request) -> web.Response:
        return _answer(orjson.dumps(self._stats.render()))

    async def _serve_text(
        self, request: web.Request, read: Callable[[dict[str, Any]], Ask], form: Format
    ) -> web.StreamResponse:
        try:
            ask = read(await self._read_counted(request))
            self._fail_as_named(ask.model)
        except SimError as error:
            return _answer_error(error)
        call_id = f"sim{self._stats.total.requests}"
        choices = compose_choices(ask)
        served = _Served(self._stats, ask)
        try:
            if ask.model.behaviour is Behaviour.SLOW:
                await asyncio.sleep(ask.model.amount / 1000)
            if ask.stream:
                return await _stream(request, ask, form.render_events(ask, call_id, choices), served)
            return await _send_whole(request, ask, form.render_body(ask, call_id, choices), choices, served)
        finally:
            served.close()

    async def _serve_embeddings(self, request: web.Request) -> web.StreamResponse:
        try:
            ask = read_embedding(await self._read_counted(request))
            self._fail_as_named(ask.model)
        except SimError as error:
            return _answer_error(error)
        self._stats.count_completed(ask.user, ask.input_tokens, 0)
        return _answer(render_embeddings(ask))

    async def _read_counted(self, request: web.Request) -> dict[str, Any]:
        self._stats.count_request()
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise SimError(413, "The request body is larger than this provider takes.") from None
        body = read_body(raw)
        self._stats.count_user(read_user(body))
        return body

    def _fail_as_named(self, model: Model) -> None:
        """Raises SimError where the model's name asks for a failure."""
        if model.behaviour is Behaviour.STATUS:
            raise answer_status(model.amount)
        if model.behaviour is Behaviour.FLAKY:
            self._flaky_calls += 1
            if is_failing_call(model, self._flaky_calls):
                raise answer_status(500)


class _Served:
    """One call's way into the statistics: completed, or aborted with the words written by then."""

    def __init__(self, stats: Stats, ask: Ask) -> None:
        self._stats = stats
        self._ask = ask
        self._is_completed = False
        self.words = 0

    def complete(self) -> None:
        self._is_completed = True
        self._stats.count_completed(self._ask.user, self._ask.input_tokens, self.words)

    def close(self) -> None:
        if not self._is_completed:
            self._stats.count_aborted(self._ask.user, self._ask.input_tokens, self.words)


async def _send_whole(
    request: web.Request, ask: Ask, body: bytes, choices: list[Choice], served: _Served
) -> web.StreamResponse:
    tokens = sum(choice.tokens for choice in choices)
    if ask.model.behaviour is Behaviour.STREAM:
        await asyncio.sleep(tokens / ask.model.amount)
    if ask.model.behaviour is Behaviour.CUTOFF and tokens > ask.model.amount:
        return await _send_part(request, body)
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client left before the answer")
    served.words = tokens
    served.complete()
    return _answer(body)


async def _send_part(request: web.Request, body: bytes) -> web.StreamResponse:
    """Announce the whole body, send half of it and close the connection."""
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _cut(request)
    return response


async def _stream(request: web.Request, ask: Ask, events: Iterator[Event], served: _Served) -> web.StreamResponse:
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    response.enable_chunked_encoding()
    await response.prepare(request)
    match ask.model.behaviour:
        case Behaviour.STREAM:
            await _write_paced(response, events, ask.model.amount, served)
        case Behaviour.CUTOFF:
            events, is_cut = _cut_events(list(events), ask.model.amount)
            await _write_fast(response, events, served)
            if is_cut:
                _cut(request)
                return response
        case _:
            await _write_fast(response, events, served)
    await response.write(DONE)
    served.complete()
    return response


async def _write_fast(response: web.StreamResponse, events: Iterator[Event], served: _Served) -> None:
    """Write as fast as the client reads, many events at a time."""
    while batch := list(islice(events, _EVENTS_PER_WRITE)):
        await response.write(b"".join([event.data for event in batch]))
        served.words += sum(event.words for event in batch)


async def _write_paced(
    response: web.StreamResponse, events: Iterator[Event], words_per_second: int, served: _Served
) -> None:
    """Write `words_per_second`, catching up where the loop was late; the first word comes after one interval."""
    clock = asyncio.get_running_loop()
    start = clock.time()
    for event in events:
        due = start + (served.words + event.words) / words_per_second
        if (delay := due - clock.time()) > 0:
            await asyncio.sleep(delay)
        await response.write(event.data)
        served.words += event.words


def _cut_events(events: list[Event], chunks: int) -> tuple[Iterator[Event], bool]:
    """The events up to the chunk with the last word to send, and whether any is left out."""
    seen = 0
    for place, event in enumerate(events):
        if event.words and seen == chunks:
            return iter(events[:place]), True
        seen += event.words
    return iter(events), False


def _cut(request: web.Request) -> None:
    """Close the connection once what was written is sent; aiohttp then cannot write the answer's end."""
    if request.transport is not None:
        request.transport.close()


async def _list_models(request: web.Request) -> web.Response:
    return _answer(orjson.dumps({"object": "list", "data": [_render_model(name) for name in LISTED_MODELS]}))


async def _show_model(request: web.Request) -> web.Response:
    try:
        return _answer(orjson.dumps(_render_model(parse_model(request.match_info["model"]).name)))
    except SimError as error:
        return _answer_error(error)


async def _show_health(request: web.Request) -> web.Response:
    return _answer(b'{"status":"ok"}')


async def _refuse_path(request: web.Request) -> web.Response:
    return _answer_error(SimError(404, f"Invalid URL ({request.method} {request.path})"))


def _render_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "sim"}


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _answer_error(error: SimError) -> web.Response:
    return web.Response(
        body=orjson.dumps(error.body()),
        status=error.status,
        headers=error.headers(),
        content_type="application/json",
    )
