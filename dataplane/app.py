"""The apps' API: what answers each path, and what is around every request.

It is a plain aiohttp server with a table of paths: an aiohttp application costs a tenth of a call's time more.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import orjson
from aiohttp import web

from dataplane.authn import authenticate, presented_key
from dataplane.call import Endpoint, Principal
from dataplane.dialects.base import ClientFormat
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

SERVER = "tollway"
MODELS_PATH = "/v1/models"
MODEL_PATH = "/v1/models/{model}"
NOT_YET_SERVED = (
    "/v1/responses",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
)


@dataclass(slots=True)
class Visit:
    """One HTTP request on its way; `span` is the pipeline's to end once a call has come of it."""

    request: web.BaseRequest
    arrival: Arrival
    span: CallSpan


Answer = Callable[[Visit], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Resource:
    """What answers a path: `label` names it in spans and metrics, `answers` are by method.

    `spoken` is the format of its answers, None for the hub's.
    """

    label: str
    endpoint: str
    answers: dict[str, Answer]
    spoken: ClientFormat | None = None


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
    """Serves requests, ready or not; `in_flight` counts running calls.

    `is_preparing` fails readiness until what the first configuration needs is there; `is_draining` fails it too, and
    ends keep-alive.
    """

    def __init__(
        self,
        source: SnapshotSource,
        pipeline: Pipeline,
        sink: UsageSink,
        telemetry: Telemetry,
        limits: GatewayLimits,
        formats: Mapping[str, ClientFormat],
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._sink = sink
        self._telemetry = telemetry
        self._limits = limits
        self._formats = formats
        self._boot_id = secrets.randbits(BOOT_ID_BITS)
        self._requests = 0
        self._resources = self._table()
        self._model = Resource(MODEL_PATH, "", {"GET": self._answer_model})
        self.is_preparing = False
        self.is_draining = False
        self.in_flight = 0

    @property
    def is_ready(self) -> bool:
        return self._obstacle is None

    @property
    def _obstacle(self) -> str | None:
        """Why this data plane should get no calls; None when it should."""
        if self.is_draining:
            return "draining"
        if self._source.current is None:
            return "no configuration yet"
        return "waiting for the first credentials" if self.is_preparing else None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Around every request: its id, its root span, and an answer for every error."""
        time_ns = time.time_ns()
        arrival = Arrival(self._next_request_id(time_ns), time_ns // 1000, time.monotonic(), 0.0)
        resource = self._find(request)
        label = resource.label if resource is not None else ""
        visit = Visit(request, arrival, self._telemetry.call_started(request.headers, request.method, label))
        try:
            response = await _answer_of(resource, request)(visit)
        except Exception as error:  # noqa: BLE001
            response = self._refuse(visit, resource, error)
        if not response.prepared:
            response.headers.setdefault("x-request-id", arrival.request_id)
            self._complete(response)
        visit.span.end(None, response.status)
        return response

    def _table(self) -> dict[str, Resource]:
        calls = {
            e.path: Resource(e.path, e.name, {"POST": partial(self._serve, e)}, self._formats.get(e.format))
            for e in ENDPOINTS
        }
        return calls | {
            MODELS_PATH: Resource(MODELS_PATH, "", {"GET": self._answer_models}),
            "/livez": Resource("/livez", "", {"GET": _answer_livez}),
            "/readyz": Resource("/readyz", "", {"GET": self._answer_readyz}),
        }

    def _find(self, request: web.BaseRequest) -> Resource | None:
        """What answers the request's path, in which an escaped slash separates nothing."""
        raw = request.rel_url.raw_path
        path = raw if "%2f" in raw.lower() else request.path
        resource = self._resources.get(path)
        if resource is None and path.startswith(f"{MODELS_PATH}/") and len(path) > len(MODELS_PATH) + 1:
            return self._model
        return resource

    async def _serve(self, endpoint: Endpoint, visit: Visit) -> web.StreamResponse:
        """One call to an endpoint that goes upstream. Raises GatewayError for what never becomes a call."""
        request = visit.request
        snapshot, principal = self._authenticate(request)
        self._check_room()
        self.in_flight += 1
        self._telemetry.in_flight.inc()
        try:
            body = await read_body(request, self._limits.body)
            arrival = replace(visit.arrival, body_wait_s=time.monotonic() - visit.arrival.start_s)
            fields = await parse_body(body)
            if snapshot is not self._source.current:
                snapshot, principal = self._authenticate(request)
            call = parse_call(endpoint, request.headers, fields, snapshot, principal.key, arrival)
            spoken = self._formats.get(endpoint.format)
            stream = SseWriter(request, self._complete, call, spoken) if call.stream else None
            writer = stream or JsonWriter(request, self._complete, spoken)
            span, visit.span = visit.span, NO_CALL_SPAN
            span.begin_operation(endpoint.operation, call.model)
            await self._pipeline.run(call, principal, Exchange(request, writer, span))
            return writer.response or web.Response(status=ClientGone.status)
        finally:
            self.in_flight -= 1
            self._telemetry.in_flight.dec()

    async def _answer_models(self, visit: Visit) -> web.Response:
        snapshot, principal = self._authenticate(visit.request)
        return _json(list_models(snapshot, principal.key))

    async def _answer_model(self, visit: Visit) -> web.Response:
        snapshot, principal = self._authenticate(visit.request)
        return _json(get_model(snapshot, principal.key, visit.request.path.removeprefix(f"{MODELS_PATH}/")))

    async def _answer_readyz(self, visit: Visit) -> web.Response:
        obstacle = self._obstacle
        return _json({"status": "ok"}) if obstacle is None else _json({"status": obstacle}, Overloaded.status)

    def _next_request_id(self, time_ns: int) -> str:
        self._requests += 1
        return f"req_{event_id(time_ns // 1_000_000, self._boot_id, self._requests).hex}"

    def _authenticate(self, request: web.BaseRequest) -> tuple[Snapshot, Principal]:
        snapshot = self._source.current
        if snapshot is None:
            raise Overloaded("This data plane has no configuration yet. Try again in a moment.")
        return snapshot, authenticate(snapshot, presented_key(request.headers), time.time_ns() // 1_000_000)

    def _check_room(self) -> None:
        if self.in_flight >= self._limits.max_in_flight:
            raise Overloaded(f"This data plane is serving {self.in_flight} calls already. Try again in a moment.")
        if not self._sink.has_room(self.in_flight):
            raise Overloaded("Usage cannot be recorded at the moment, so no call is accepted. Try again in a moment.")

    def _complete(self, response: web.StreamResponse) -> None:
        """What every answer's head has, set just before it goes out."""
        response.headers["server"] = SERVER
        if self.is_draining:
            response.force_close()
            response.headers["connection"] = "close"

    def _refuse(self, visit: Visit, resource: Resource | None, error: Exception) -> web.Response:
        refusal = error if isinstance(error, GatewayError) else _unknown_failure(visit.arrival, error)
        self._telemetry.record_refused(resource.endpoint if resource is not None else "", refusal.http_status)
        return error_response(refusal, {}, resource.spoken if resource is not None else None)


def _answer_of(resource: Resource | None, request: web.BaseRequest) -> Answer:
    """Raises UnknownUrl, NotSupported and MethodNotAllowed."""
    if resource is None:
        if request.path in NOT_YET_SERVED:
            raise NotSupported(f"{request.path} is not served by this release.")
        raise UnknownUrl(f"Unknown request URL: {request.method} {request.path}. See GET /v1/models and the README.")
    answer = resource.answers.get(request.method)
    if answer is None:
        allowed = ", ".join(resource.answers)
        refusal = MethodNotAllowed(f"{request.method} is not allowed on {request.path}. Use {allowed}.")
        refusal.headers["allow"] = allowed
        raise refusal
    return answer


def _unknown_failure(arrival: Arrival, error: Exception) -> GatewayError:
    """Logged, and shown to the client as nothing but an id."""
    logger.error("request failed request_id=%s", arrival.request_id, exc_info=error)
    return GatewayError(f"The gateway failed to serve this request. Quote {arrival.request_id} to its operators.")


def _json(payload: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(payload), content_type="application/json")


async def _answer_livez(visit: Visit) -> web.Response:
    return _json({"status": "ok"})
