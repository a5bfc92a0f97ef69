"""OpenTelemetry spans of a call, and every attribute name that a data plane writes.

One trace tree per call: SERVER `POST /v1/chat/completions` > CLIENT `chat MODEL` > CLIENT `attempt N PROVIDER`, one
of the last per attempt. Attributes are the ones named here and no others: no header, body, credential or prompt.
"""

import threading
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dataplane.call import Attempt, Outcome
from dataplane.spans import NO_ATTEMPT_SPAN, NO_CALL_SPAN, AttemptSpan, CallSpan
from tollway.kernel.money import format_usd

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

TOLLWAY_REQUEST_ID: Final = "tollway.request_id"
TOLLWAY_TEAM: Final = "tollway.team"
TOLLWAY_KEY: Final = "tollway.key"
TOLLWAY_ROUTE: Final = "tollway.route"
TOLLWAY_UPSTREAM: Final = "tollway.upstream"
TOLLWAY_ATTEMPT: Final = "tollway.attempt"
TOLLWAY_SETTLEMENT_STATE: Final = "tollway.settlement_state"
TOLLWAY_COST_USD: Final = "tollway.cost_usd"
TOLLWAY_LIMITS_EXCEEDED: Final = "tollway.limits.exceeded"

_DEFAULT_SERVICE_NAME: Final = "tollway-dataplane"
_TRACEPARENT: Final = "traceparent"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NANOSECONDS_PER_MICROSECOND: Final = 1_000
_ERROR: Final = Status(StatusCode.ERROR)


class Tracing:
    """Makes spans of calls; exports through `processor` until `close`.

    Sampling is the SDK's: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, parent-based by default. Resource attributes
    come from OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES over the ones given here.
    """

    def __init__(self, processor: SpanProcessor, *, node: str, version: str, scheme: str) -> None:
        own = {SERVICE_NAME: _DEFAULT_SERVICE_NAME, SERVICE_VERSION: version, SERVICE_INSTANCE_ID: node}
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tollway.dataplane", version)
        self._propagator = TraceContextTextMapPropagator()
        self._scheme = scheme

    def start_call(self, call_headers: Mapping[str, str], method: str, path: str) -> CallSpan:
        """Open a server span; the no-op span when the sampler drops it."""
        context = Context()
        if _TRACEPARENT in call_headers:
            context = self._propagator.extract(call_headers, context)
        attributes = {HTTP_REQUEST_METHOD: method, URL_SCHEME: self._scheme}
        if path:
            attributes |= {HTTP_ROUTE: path, URL_PATH: path}
        name = f"{method} {path}" if path else method
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes)
        return _RecordedCall(self._tracer, span) if span.is_recording() else NO_CALL_SPAN

    def close(self, timeout_s: float) -> bool:
        """Export what is held, waiting at most `timeout_s`; False when time ran out. Blocks the calling thread."""
        shutdown = threading.Thread(target=self._provider.shutdown, name="tracing-shutdown", daemon=True)
        shutdown.start()
        shutdown.join(timeout_s)
        return not shutdown.is_alive()


class _RecordedCall(CallSpan):
    __slots__ = ("_inside_operation", "_inside_server", "_operation", "_server", "_tracer")

    def __init__(self, tracer: Tracer, server: Span) -> None:
        self._tracer = tracer
        self._server = server
        self._operation: Span | None = None
        self._inside_server = set_span_in_context(server, Context())
        self._inside_operation = self._inside_server

    def begin_operation(self, operation: str, model: str) -> None:
        attributes = {GEN_AI_OPERATION_NAME: operation, GEN_AI_REQUEST_MODEL: model}
        self._operation = self._tracer.start_span(
            f"{operation} {model}", self._inside_server, SpanKind.CLIENT, attributes
        )
        self._inside_operation = set_span_in_context(self._operation, self._inside_server)

    def begin_attempt(self, attempt: Attempt) -> AttemptSpan:
        upstream = attempt.upstream
        address = urlsplit(upstream.base_url)
        attributes: dict[str, str | int] = {
            GEN_AI_PROVIDER_NAME: upstream.provider,
            GEN_AI_REQUEST_MODEL: attempt.upstream_model,
            SERVER_ADDRESS: address.hostname or "",
            SERVER_PORT: address.port or _DEFAULT_PORTS.get(address.scheme, 0),
            TOLLWAY_UPSTREAM: upstream.name,
            TOLLWAY_ATTEMPT: attempt.number,
        }
        name = f"attempt {attempt.number} {upstream.provider}"
        span = self._tracer.start_span(name, self._inside_operation, SpanKind.CLIENT, attributes)
        if not span.is_recording():
            return NO_ATTEMPT_SPAN
        attempt.traceparent = _traceparent(span)
        return _RecordedAttempt(span)

    def end(self, outcome: Outcome | None, status: int) -> None:
        self._server.set_attribute(HTTP_RESPONSE_STATUS_CODE, status)
        if outcome is not None:
            self._server.set_attributes(_identity(outcome))
            if outcome.limits is not None and outcome.limits.exceeded:
                self._server.set_attribute(TOLLWAY_LIMITS_EXCEEDED, list(outcome.limits.exceeded))
        if self._operation is not None:
            self._end_operation(self._operation, outcome, status)
        if status >= 400:
            self._server.set_attribute(ERROR_TYPE, (outcome and outcome.error_code) or str(status))
        if status >= 500:
            self._server.set_status(_ERROR)
        self._server.end()

    def _end_operation(self, operation: Span, outcome: Outcome | None, status: int) -> None:
        if outcome is not None and outcome.attempts:
            operation.set_attributes(_result(outcome))
        error_type = (outcome and outcome.error_code) or (str(status) if status >= 400 else "")
        if error_type:
            operation.set_attribute(ERROR_TYPE, error_type)
            operation.set_status(_ERROR)
        operation.end()


class _RecordedAttempt(AttemptSpan):
    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, attempt: Attempt) -> None:
        span = self._span
        span.set_attributes(_usage(attempt))
        span.set_attribute(TOLLWAY_SETTLEMENT_STATE, attempt.state.word)
        if attempt.status:
            span.set_attribute(HTTP_RESPONSE_STATUS_CODE, attempt.status)
        if attempt.first_frame_time_us:
            span.add_event("first_frame", timestamp=attempt.first_frame_time_us * _NANOSECONDS_PER_MICROSECOND)
        if attempt.error_code:
            span.set_attribute(ERROR_TYPE, attempt.error_code)
            span.set_status(_ERROR)
        span.end()


def build_tracing(*, node: str, version: str, scheme: str) -> Tracing:
    """Tracing that exports over OTLP/HTTP as the OTEL_EXPORTER_OTLP_* variables say."""
    return Tracing(BatchSpanProcessor(OTLPSpanExporter()), node=node, version=version, scheme=scheme)


def _identity(outcome: Outcome) -> dict[str, str]:
    key = outcome.principal.key
    return {
        TOLLWAY_REQUEST_ID: outcome.call.request_id,
        TOLLWAY_TEAM: key.team,
        TOLLWAY_KEY: key.name,
        TOLLWAY_ROUTE: outcome.route,
    }


def _result(outcome: Outcome) -> dict[str, str | int | bool]:
    last = outcome.attempts[-1]
    return {
        GEN_AI_PROVIDER_NAME: last.upstream.provider,
        GEN_AI_REQUEST_STREAM: outcome.call.stream,
        TOLLWAY_COST_USD: format_usd(outcome.cost_nano_usd),
        **_usage(last),
    }


def _usage(attempt: Attempt) -> dict[str, str | int]:
    usage = attempt.usage
    known: dict[str, str | int] = {
        GEN_AI_RESPONSE_MODEL: attempt.response_model,
        GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
        GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
        GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cache_read,
        GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning,
    }
    return {name: value for name, value in known.items() if value}


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
