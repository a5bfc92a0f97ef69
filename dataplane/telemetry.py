"""What a data plane tells the outside about its calls: Prometheus counts always, OpenTelemetry spans when asked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge

from dataplane.call import Outcome
from dataplane.metrics import CallCounts, Families
from dataplane.spans import NO_CALL_SPAN, AttemptSpan, CallSpan

if TYPE_CHECKING:
    from dataplane.tracing import Tracing

__all__ = ["AttemptSpan", "CallSpan", "Telemetry"]


class Telemetry:
    """One per process. No method blocks or raises, and none shows a body, a header or a secret."""

    def __init__(self, registry: CollectorRegistry, tracing: "Tracing | None" = None) -> None:
        self.families = Families(registry)
        self._counts = CallCounts(self.families)
        self._tracing = tracing

    @property
    def in_flight(self) -> Gauge:
        """Calls being served: `inc()` when one begins, `dec()` when it ends."""
        return self.families.in_flight

    def call_started(self, call_headers: Mapping[str, str], method: str, path: str) -> CallSpan:
        """Open the server span of a request, below the client's trace when `call_headers` carries a valid one.

        `path` names the span, so it is an endpoint's path, never one that only a client made up.
        """
        if self._tracing is None:
            return NO_CALL_SPAN
        return self._tracing.start_call(call_headers, method, path)

    def record(self, outcome: Outcome, overhead_s: float, duration_s: float) -> None:
        """Count a call that has ended: seconds spent in the gateway alone, and seconds in all."""
        self._counts.add(outcome, overhead_s, duration_s)

    def record_refused(self, endpoint: str, status: int) -> None:
        """Count a call refused before it was known who pays; `endpoint` is an Endpoint's name or ""."""
        self._counts.add_refused(endpoint, status)
