"""What a control plane tells the outside: Prometheus families always, OpenTelemetry spans when an endpoint is set."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

_ADMIN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_FEED_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)
_OK = "OK"


class Tracing:
    """Server spans of admin calls, exported through `processor` until `close`."""

    def __init__(self, processor: "SpanProcessor", *, service: str, version: str) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        own = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(service, version)
        self._propagator = TraceContextTextMapPropagator()

    def start_call(self, method: str, traceparent: str) -> "Span":
        """Opens the span of an admin call, below the caller's when `traceparent` is a valid one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract({"traceparent": traceparent}, Context()) if traceparent else Context()
        attributes = {"rpc.system": "grpc", "rpc.service": method.partition("/")[0], "rpc.method": _short(method)}
        return self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)

    @property
    def tracer(self) -> "Tracer":
        """For spans other than those of admin calls."""
        return self._tracer

    def close(self) -> None:
        """Exports what is held. Blocks the calling thread."""
        self._provider.shutdown()


class Telemetry:
    """One per process. No method raises, and none shows a body, a header or a secret."""

    def __init__(self, registry: CollectorRegistry, tracing: Tracing | None = None) -> None:
        self._registry = registry
        self._tracing = tracing
        self._requests = Counter(
            "tollway_admin_requests", "Admin calls by method and gRPC code.", ["method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "tollway_admin_request_seconds",
            "Duration of admin calls.",
            ["method"],
            registry=registry,
            buckets=_ADMIN_SECONDS,
        )
        self._feed_seconds = Histogram(
            "tollway_feed_applied_seconds",
            "From a change of the configuration to a data plane's word that it is in force there.",
            registry=registry,
            buckets=_FEED_SECONDS,
        )
        self._alerts = Counter(
            "tollway_budget_alert_attempts",
            "Tries to deliver budget alerts, by what they are then: delivered, failing (tried again) or failed.",
            ["state"],
            registry=registry,
        )

    def observe_feed_applied(self, duration_s: float) -> None:
        """One data plane has said that it applied a change, `duration_s` after this process saw it."""
        self._feed_seconds.observe(duration_s)

    def observe_alert(self, state: str) -> None:
        """A budget alert was tried and is now "delivered", "failing" or "failed"."""
        self._alerts.labels(state).inc()

    def watch_feed(self, subscribers: Callable[[], int], revision: Callable[[], int]) -> None:
        """Shows the feed's state as it is at each scrape."""
        connected = Gauge("tollway_feed_subscribers", "Data planes connected to this process.", registry=self._registry)
        connected.set_function(subscribers)
        head = Gauge("tollway_config_revision", "Revision that this process serves.", registry=self._registry)
        head.set_function(revision)

    def watch_readiness(self, is_ready: Callable[[], bool]) -> None:
        ready = Gauge("tollway_ready", "1 when the process should get work.", registry=self._registry)
        ready.set_function(is_ready)

    @contextmanager
    def admin_call(self, method: str, traceparent: str) -> Iterator["AdminCallRecord"]:
        """Counts and traces one admin call."""
        span = None if self._tracing is None else self._tracing.start_call(method, traceparent)
        record = AdminCallRecord(span)
        begun = time.perf_counter()
        try:
            yield record
        finally:
            self._requests.labels(_short(method), record.code).inc()
            self._seconds.labels(_short(method)).observe(time.perf_counter() - begun)
            record.end()


class AdminCallRecord:
    """How one admin call went; a call that says nothing went well."""

    def __init__(self, span: "Span | None") -> None:
        self._span = span
        self.code = _OK

    def fail(self, code: str, http_status: int) -> None:
        self.code = code
        if self._span is None:
            return
        self._span.set_attribute("error.type", code)
        if http_status >= 500:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        if self._span is not None:
            self._span.end()


def build_registry() -> CollectorRegistry:
    """A registry with the families of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def software_version() -> str:
    """The version of the installed distribution; "unknown" when run from a source tree that is not installed."""
    try:
        return metadata.version("tollway")
    except metadata.PackageNotFoundError:
        return "unknown"


def build_tracing(*, service: str, version: str) -> Tracing:
    """Tracing that exports over OTLP/HTTP as the OTEL_EXPORTER_OTLP_* variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return Tracing(BatchSpanProcessor(OTLPSpanExporter()), service=service, version=version)


def _short(method: str) -> str:
    return method.partition("/")[2]
