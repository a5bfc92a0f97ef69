"""The admin API as REST: a route per google.api.http rule, one error shape, the OpenAPI document and the probes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from controlplane.errors import ControlPlaneError
from controlplane.transport.decode import read_request
from controlplane.transport.encode import encode_message, message_value
from controlplane.transport.gate import AdminGate, Origin
from controlplane.transport.methods import BoundMethod, HttpRule
from controlplane.transport.probe_app import add_probe_routes
from controlplane.transport.readiness import Readiness
from controlplane.transport.statuses import HttpRefusal, Internal, error_row, rpc_status

MAX_BODY_BYTES = 4 * 1_048_576
BODY_TIMEOUT_S = 30.0
OPENAPI_PATH = "/openapi.json"
# What was answered may be a secret, and no browser is meant to sniff it.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNENCODED = frozenset({"", "identity"})
_log = logging.getLogger("tollway.admin")


def rest_app(
    methods: Iterable[BoundMethod],
    gate: AdminGate,
    readiness: Readiness,
    openapi: Callable[[], bytes],
    *,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> web.Application:
    """`openapi` makes the OpenAPI document; it is called once, when the document is first asked for."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_rescue])
    add_probe_routes(app, readiness)
    app.router.add_get(OPENAPI_PATH, _document_handler(openapi))
    for bound in methods:
        for rule in bound.method.rules:
            app.router.add_route(
                rule.verb, rule.template.route_path(), _method_handler(bound, rule, gate, body_timeout_s)
            )
    app.on_response_prepare.append(_set_headers)
    return app


def _method_handler(
    bound: BoundMethod, rule: HttpRule, gate: AdminGate, body_timeout_s: float
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        path = _path_values(request, rule)

        async def read() -> Message:
            body = await _read_body(request, body_timeout_s)
            return read_request(bound.method, rule, path, request.query.items(), body)

        if bound.is_stream:
            return await _send_parts(request, gate.stream(bound, _origin(request), read))
        response = await gate.call(bound, _origin(request), read)
        return web.Response(body=encode_message(response), content_type="application/json")

    return serve


async def _send_parts(request: web.Request, parts: AsyncGenerator[Message, None]) -> web.StreamResponse:
    """Sends HttpBody messages as one body; what fails after the first cuts the connection, so that no one takes a part
    for the whole."""
    async with aclosing(parts):
        first = cast(HttpBody, await anext(parts))
        response = web.StreamResponse(headers={"Content-Type": first.content_type})
        await response.prepare(request)
        await response.write(first.data)
        try:
            async for part in parts:
                await response.write(cast(HttpBody, part).data)
        except ControlPlaneError as error:
            _log.warning("answer broken off path=%s reason=%s", request.path, error.message)
            raise ConnectionResetError("the answer was broken off") from error
        await response.write_eof()
    return response


def _document_handler(openapi: Callable[[], bytes]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    made: list[bytes] = []

    async def serve(_: web.Request) -> web.Response:
        if not made:
            made.append(openapi())
        return web.Response(body=made[0], content_type="application/json")

    return serve


def _origin(request: web.Request) -> Origin:
    return Origin(
        authorizations=request.headers.getall("Authorization", []),
        peer=request.remote or "",
        traceparent=request.headers.get("traceparent", ""),
    )


def _path_values(request: web.Request, rule: HttpRule) -> Sequence[str]:
    """The variables in order; a part whose escapes hide a "/" or ":" names no resource."""
    values = [request.match_info[f"v{number}"] for number in range(len(rule.template.variables))]
    for variable, value in zip(rule.template.variables, values, strict=True):
        if not variable.is_match(value):
            raise _unknown_path(request)
    return values


async def _read_body(request: web.Request, timeout_s: float) -> bytes:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _UNENCODED:
        raise HttpRefusal(
            415, "UNSUPPORTED_ENCODING", "request bodies with a Content-Encoding are not read; send plain JSON"
        )
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError as error:
        text = f"the request body took longer than {timeout_s:g} s to arrive"
        raise HttpRefusal(408, "REQUEST_TIMEOUT", text) from error
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError) as error:
        raise HttpRefusal(400, "BODY_INCOMPLETE", "the request body ended early or is wrongly framed") from error


@web.middleware
async def _rescue(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tells every failure in the one error shape."""
    try:
        return await handler(request)
    except ControlPlaneError as error:
        return _error_response(error)
    except web.HTTPException as error:
        return _error_response(_refusal(request, error))
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001
        _log.error("unexpected error path=%s", request.path, exc_info=error)
        return _error_response(Internal("internal error; the control plane's log has it"))


def _refusal(request: web.Request, error: web.HTTPException) -> ControlPlaneError:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = frozenset(error.allowed_methods)
        text = f"{request.method} is not possible on {request.path}; possible: {', '.join(sorted(allowed))}"
        return HttpRefusal(405, "METHOD_NOT_ALLOWED", text, allow=allowed)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return _too_large()
    if error.status == 404:
        return _unknown_path(request)
    return HttpRefusal(error.status, "INVALID_REQUEST", error.reason)


def _unknown_path(request: web.Request) -> HttpRefusal:
    return HttpRefusal(404, "UNKNOWN_URL", f"there is nothing at {request.path}; see {OPENAPI_PATH} for what there is")


def _too_large() -> HttpRefusal:
    return HttpRefusal(413, "REQUEST_TOO_LARGE", f"the request body is larger than {MAX_BODY_BYTES} bytes")


def _error_response(error: ControlPlaneError) -> web.Response:
    row = error_row(error)
    status = rpc_status(error)
    shown = {
        "error": {
            "code": row.http_status,
            "status": row.code.name,
            "message": status.message,
            "details": [message_value(detail) for detail in status.details],
        }
    }
    headers = {}
    if isinstance(error, HttpRefusal) and error.allow:
        headers["Allow"] = ", ".join(sorted(error.allow))
    if row.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if row.http_status == 503:
        headers["Retry-After"] = "1"
    return web.Response(
        status=row.http_status, body=orjson.dumps(shown), content_type="application/json", headers=headers
    )


async def _set_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.pop("Server", None)
