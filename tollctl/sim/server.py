"""The simulated provider over HTTP."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import orjson
from aiohttp import web

from tollctl.sim.answers import Choice, compose_choices
from tollctl.sim.asks import Ask, read_body, read_chat, read_embedding, read_text, read_user
from tollctl.sim.delivery import answer, send_whole, stream
from tollctl.sim.embeddings import render_embeddings
from tollctl.sim.errors import SimError, answer_status
from tollctl.sim.formats import ChatFormat, Event, TextFormat
from tollctl.sim.models import LISTED_MODELS, Behaviour, Model, is_failing_call, parse_model
from tollctl.sim.served import Books, Caller, Served
from tollctl.sim.stats import Stats
from tollctl.sim.truthlog import TruthLog

_BODY_BYTES_MAX = 64 * 1024 * 1024
_CREATED = 1_735_689_600


class Format(Protocol):
    """How answers of one path are written."""

    def render_body(self, ask: Ask, call_id: str, choices: list[Choice]) -> bytes: ...

    def render_events(self, ask: Ask, call_id: str, choices: list[Choice]) -> Iterator[Event]: ...


class SimServer:
    """One simulated provider with its statistics. Handlers are cancelled when their client leaves.

    truth_log: told of everything before it goes out; None for no such log.
    """

    def __init__(self, truth_log: TruthLog | None = None) -> None:
        self._books = Books(Stats(), truth_log)
        self._failing_calls = {Behaviour.FLAKY: 0, Behaviour.LIMITED: 0}

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
        return answer(orjson.dumps(self._books.stats.render()))

    async def _serve_text(
        self, request: web.Request, read: Callable[[dict[str, Any]], Ask], form: Format
    ) -> web.StreamResponse:
        body: dict[str, Any] = {}
        try:
            body = await self._read_counted(request)
            ask = read(body)
            self._fail_as_named(ask.model)
        except SimError as error:
            return await self._refuse(request, body, error)
        choices = compose_choices(ask)
        served = Served(self._books, _caller(request, ask))
        call_id = f"sim{self._books.stats.total.requests}"
        try:
            if ask.model.behaviour is Behaviour.SLOW:
                await served.announce(0)
                await asyncio.sleep(ask.model.amount / 1000)
            if ask.stream:
                return await stream(request, ask, form.render_events(ask, call_id, choices), served)
            return await send_whole(request, ask, form.render_body(ask, call_id, choices), choices, served)
        finally:
            served.close()

    async def _serve_embeddings(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = {}
        try:
            body = await self._read_counted(request)
            ask = read_embedding(body)
            self._fail_as_named(ask.model)
        except SimError as error:
            return await self._refuse(request, body, error)
        caller = Caller(ask.user, _request_id(request), ask.model.name, input_tokens=ask.input_tokens)
        served = Served(self._books, caller, output_nano_usd=0)
        await served.announce_end()
        served.complete()
        return answer(render_embeddings(ask))

    async def _refuse(self, request: web.Request, body: dict[str, Any], error: SimError) -> web.Response:
        model = body.get("model")
        caller = Caller(read_user(body), _request_id(request), model if isinstance(model, str) else "")
        await Served(self._books, caller).fail(error.status)
        return _answer_error(error)

    async def _read_counted(self, request: web.Request) -> dict[str, Any]:
        self._books.stats.count_request()
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise SimError(413, "The request body is larger than this provider takes.") from None
        body = read_body(raw)
        self._books.stats.count_user(read_user(body))
        return body

    def _fail_as_named(self, model: Model) -> None:
        """Raises SimError where the model's name asks for a failure."""
        if model.behaviour is Behaviour.STATUS:
            raise answer_status(model.amount)
        if model.behaviour in self._failing_calls:
            self._failing_calls[model.behaviour] += 1
            if is_failing_call(model, self._failing_calls[model.behaviour]):
                raise answer_status(429 if model.behaviour is Behaviour.LIMITED else 500)


def _caller(request: web.Request, ask: Ask) -> Caller:
    reports_usage = ask.model.reports_usage and (ask.include_usage or not ask.stream)
    return Caller(ask.user, _request_id(request), ask.model.name, ask.stream, ask.input_tokens, reports_usage)


def _request_id(request: web.Request) -> str:
    return request.headers.get("x-request-id", "")


async def _list_models(request: web.Request) -> web.Response:
    return answer(orjson.dumps({"object": "list", "data": [_render_model(name) for name in LISTED_MODELS]}))


async def _show_model(request: web.Request) -> web.Response:
    try:
        return answer(orjson.dumps(_render_model(parse_model(request.match_info["model"]).name)))
    except SimError as error:
        return _answer_error(error)


async def _show_health(request: web.Request) -> web.Response:
    return answer(b'{"status":"ok"}')


async def _refuse_path(request: web.Request) -> web.Response:
    return _answer_error(SimError(404, f"Invalid URL ({request.method} {request.path})"))


def _render_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "sim"}


def _answer_error(error: SimError) -> web.Response:
    return web.Response(
        body=orjson.dumps(error.body()),
        status=error.status,
        headers=error.headers(),
        content_type="application/json",
    )
