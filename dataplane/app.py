"""The apps' API as an aiohttp application: routes, and what is around every request."""

import logging
import secrets
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dataplane.authn import authenticate, presented_key
from dataplane.call import Endpoint, Principal
from dataplane.errors import ClientGone, GatewayError, MethodNotAllowed, NotSupported, Overloaded, UnknownUrl
from dataplane.ingress.models import get_model, list_models
from dataplane.ingress.openai import ENDPOINTS, Arrival, BodyLimits, parse_body, parse_call, read_body
from dataplane.ingress.writers import JsonWriter, SseWriter, error_response
from dataplane.pipeline import Exchange, Pipeline, UsageSink
from dataplane.snapshot import Snapshot
from dataplane.spans import NO_CALL_SPAN, CallSpan
from dataplane.telemetry import Telemetry
from tollway.kernel.usage import BOOT_ID_BITS, event_id

logger = logging.getLogger(__name__)

NOT_YET_SERVED = (
    "/v1/responses",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/messages",
    "/v1/messages/count_tokens",
)


_ENDPOINT_OF_PATH = {endpoint.path: endpoint.name for endpoint in ENDPOINTS}
ARRIVAL = web.RequestKey("arrival", Arrival)
SPAN = web.RequestKey("span", CallSpan)


class SnapshotSource(Protocol):
    """What holds the configuration in force; None until there is one."""

    @property
    def current(self) -> Snapshot | None: ...


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Bounds on what clients may take: of one body, and of calls at once in this process."""

    body: BodyLimits
    max_in_flight: int


class Gateway:
    """Serves requests. `is_draining` fails readiness and ends keep-alive; `in_flight` counts running calls."""

    def __init__(
        self, source: SnapshotSource, pipeline: Pipeline, sink: UsageSink, telemetry: Telemetry, limits: GatewayLimits
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._sink = sink
        self._telemetry = telemetry
        self._limits = limits
        self._boot_id = secrets.randbits(BOOT_ID_BITS)
        self._requests = 0
        self.is_draining = False
        self.in_flight = 0

    @property
    def is_ready(self) -> bool:
        return self._source.current is not None and not self.is_draining

    def next_request_id(self, time_ns: int) -> str:
        self._requests += 1
        return f"req_{event_id(time_ns // 1_000_000, self._boot_id, self._requests).hex}"

    async def serve(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        """One call to an endpoint that goes upstream. Raises GatewayError for what never becomes a call."""
        snapshot, principal = self._authenticate(request)
        self._check_room()
        self.in_flight += 1
        self._telemetry.in_flight.inc()
        try:
            arrival = request[ARRIVAL]
            body = await read_body(request, self._limits.body)
            arrival = replace(arrival, body_wait_s=time.monotonic() - arrival.start_s)
            fields = await parse_body(body)
            if snapshot is not self._source.current:
                snapshot, principal = self._authenticate(request)
            call = parse_call(endpoint, request.headers, fields, snapshot, principal.key, arrival)
            writer = SseWriter(request, call.wants_usage) if call.stream else JsonWriter(request)
            span, request[SPAN] = request[SPAN], NO_CALL_SPAN
            span.begin_operation(endpoint.operation, call.model)
            await self._pipeline.run(call, principal, Exchange(request, writer, span))
            return writer.response or web.Response(status=ClientGone.status)
        finally:
            self.in_flight -= 1
            self._telemetry.in_flight.dec()

    async def models(self, request: web.Request) -> web.Response:
        snapshot, principal = self._authenticate(request)
        return _json(list_models(snapshot, principal.key))

    async def model(self, request: web.Request) -> web.Response:
        snapshot, principal = self._authenticate(request)
        return _json(get_model(snapshot, principal.key, request.match_info["model"]))

    def envelope(self) -> Middleware:
        """The middleware around every request: its id, its root span, and an answer for every error."""

        @web.middleware
        async def envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
            time_ns = time.time_ns()
            arrival = Arrival(self.next_request_id(time_ns), time_ns // 1000, time.monotonic(), 0.0)
            request[ARRIVAL] = arrival
            route = request.match_info.route.resource
            path = "" if route is None else route.canonical
            request[SPAN] = self._telemetry.call_started(request.headers, request.method, path)
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001
                response = self._refuse(request, path, _as_gateway_error(request, error))
            request[SPAN].end(None, response.status)
            return response

        return envelope

    def _authenticate(self, request: web.Request) -> tuple[Snapshot, Principal]:
        snapshot = self._source.current
        if snapshot is None:
            raise Overloaded("This data plane has no configuration yet. Try again in a moment.")
        return snapshot, authenticate(snapshot, presented_key(request.headers), time.time_ns() // 1_000_000)

    def _check_room(self) -> None:
        if self.in_flight >= self._limits.max_in_flight:
            raise Overloaded(f"This data plane is serving {self.in_flight} calls already. Try again in a moment.")
        if not self._sink.has_room(self.in_flight):
            raise Overloaded("Usage cannot be recorded at the moment, so no call is accepted. Try again in a moment.")

    def _refuse(self, request: web.Request, path: str, error: GatewayError) -> web.Response:
        arrival = request[ARRIVAL]
        self._telemetry.record_refused(_ENDPOINT_OF_PATH.get(path, ""), error.http_status)
        return error_response(error, {"x-request-id": arrival.request_id})


def build_app(gateway: Gateway) -> web.Application:
    """The application; bodies are bounded by the gateway, not by aiohttp."""
    app = web.Application(middlewares=[gateway.envelope()], client_max_size=0)
    for endpoint in ENDPOINTS:
        app.router.add_post(endpoint.path, partial(gateway.serve, endpoint))
    app.router.add_get("/v1/models", gateway.models, allow_head=False)
    app.router.add_get("/v1/models/{model:.+}", gateway.model, allow_head=False)
    app.router.add_get("/livez", _livez, allow_head=False)
    app.router.add_get("/readyz", partial(_readyz, gateway), allow_head=False)

    async def complete_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault("x-request-id", request[ARRIVAL].request_id)
        response.headers.popall("server", None)
        if gateway.is_draining:
            response.force_close()
            response.headers["connection"] = "close"

    app.on_response_prepare.append(complete_headers)
    return app


def _as_gateway_error(request: web.Request, error: Exception) -> GatewayError:
    """What the client is told of `error`; an unknown one is logged and shown as nothing but an id."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        refusal: GatewayError = MethodNotAllowed(f"{request.method} is not allowed on {request.path}. Use {allowed}.")
        refusal.headers["allow"] = allowed
        return refusal
    if isinstance(error, web.HTTPNotFound):
        if request.path in NOT_YET_SERVED:
            return NotSupported(f"{request.path} is not served by this release.")
        return UnknownUrl(f"Unknown request URL: {request.method} {request.path}. See GET /v1/models and the README.")
    arrival = request[ARRIVAL]
    logger.error("request failed request_id=%s", arrival.request_id, exc_info=error)
    return GatewayError(f"The gateway failed to serve this request. Quote {arrival.request_id} to its operators.")


def _json(payload: object) -> web.Response:
    return web.Response(body=orjson.dumps(payload), content_type="application/json")


async def _livez(request: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _readyz(gateway: Gateway, request: web.Request) -> web.Response:
    if gateway.is_ready:
        return _json({"status": "ok"})
    reason = "draining" if gateway.is_draining else "no configuration yet"
    return web.Response(status=503, body=orjson.dumps({"status": reason}), content_type="application/json")
