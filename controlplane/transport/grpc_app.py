"""The admin API as gRPC, with health per service and reflection."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from controlplane.errors import ControlPlaneError, InvalidArgument
from controlplane.transport.gate import AdminGate, Origin
from controlplane.transport.methods import BoundMethod
from controlplane.transport.readiness import Readiness
from controlplane.transport.statuses import MAX_GRPC_DETAIL_BYTES, error_row, rpc_status
from tollway.resources.violations import Violation

MAX_RECEIVED_BYTES = 4 * 1_048_576
MAX_SENT_BYTES = 64 * 1_048_576
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    # Two processes on one port would share its connections without a word.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    ("grpc.max_send_message_length", MAX_SENT_BYTES),
    # Data planes ping every 10 s on a stream that may be silent.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
_STATUS_DETAILS = "grpc-status-details-bin"
Context = grpc.aio.ServicerContext[Any, Any]


def add_admin_services(server: grpc.aio.Server, methods: Iterable[BoundMethod], gate: AdminGate) -> list[str]:
    """Registers every bound method; returns the names of the services."""
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for bound in methods:
        served = services.setdefault(bound.method.service, {})
        # The bytes are parsed behind the gate: only an authenticated caller makes this process parse.
        served[bound.method.short_name] = (
            grpc.unary_stream_rpc_method_handler(_stream_handler(bound, gate))
            if bound.is_stream
            else grpc.unary_unary_rpc_method_handler(_method_handler(bound, gate))
        )
    for name, served in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, served),))
    return list(services)


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Serves reflection under its v1alpha and its v1 name; their messages are the same on the wire."""
    names = (*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    servicer = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_REFLECTION_V1, {"ServerReflectionInfo": handler}),)
    )


class ServiceHealth:
    """grpc.health.v1 of each service: SERVING while the process is ready."""

    def __init__(self, server: grpc.aio.Server, services: Sequence[str], readiness: Readiness) -> None:
        self._servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._services = ("", *services)
        self._readiness = readiness
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def publish(self) -> None:
        """Tells clients and watchers what readiness is at the moment."""
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if self._readiness.is_ready else states.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, state)


def _method_handler(bound: BoundMethod, gate: AdminGate) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def serve(request: bytes, context: Context) -> bytes:
        async def read() -> Message:
            return _parse(bound, request)

        try:
            response = await gate.call(bound, _origin(context), read)
        except ControlPlaneError as error:
            await _abort(context, error)
        return response.SerializeToString()

    return serve


def _stream_handler(bound: BoundMethod, gate: AdminGate) -> Callable[[bytes, Context], AsyncGenerator[bytes, None]]:
    async def serve(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        async def read() -> Message:
            return _parse(bound, request)

        try:
            async with aclosing(gate.stream(bound, _origin(context), read)) as parts:
                async for part in parts:
                    yield part.SerializeToString()
        except ControlPlaneError as error:
            await _abort(context, error)

    return serve


async def _abort(context: Context, error: ControlPlaneError) -> NoReturn:
    status = rpc_status(error, max_detail_bytes=MAX_GRPC_DETAIL_BYTES)
    details = ((_STATUS_DETAILS, status.SerializeToString()),)
    await context.abort(error_row(error).code, status.message, details)


def _parse(bound: BoundMethod, request: bytes) -> Message:
    try:
        return bound.method.request_class.FromString(request)
    except DecodeError as error:
        name = bound.method.descriptor.input_type.name
        raise InvalidArgument([Violation("", f"the request is not a {name}")]) from error


def _origin(context: Context) -> Origin:
    metadata = [(str(key), value) for key, value in context.invocation_metadata() or ()]
    authorizations = [str(value) for key, value in metadata if key == "authorization"]
    traceparent = next((str(value) for key, value in metadata if key == "traceparent"), "")
    return Origin(authorizations, context.peer(), traceparent)
