"""What a data plane tells the outside about its calls: Prometheus counts always, OpenTelemetry spans when asked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Gauge

from dataplane.call import Outcome
from dataplane.metrics import CallCounts, Families
from dataplane.snapshot import Snapshot
from dataplane.spans import NO_CALL_SPAN, AttemptSpan, CallSpan

if TYPE_CHECKING:
    from dataplane.tracing import Tracing

__all__ = ["AttemptSpan", "CallSpan", "Telemetry"]

_PROBES: Final = frozenset({"/livez", "/readyz"})


class Telemetry:
    """One per process. No method blocks or raises, and none shows a body, a header or a secret."""

    def __init__(self, registry: CollectorRegistry, tracing: "Tracing | None" = None) -> None:
        self.families = Families(registry)
        self._counts = CallCounts(self.families)
        self._tracing = tracing
        self._delivered = 0
        self._retries = 0

    @property
    def in_flight(self) -> Gauge:
        """Calls being served: `inc()` when one begins, `dec()` when it ends."""
        return self.families.in_flight

    def call_started(self, call_headers: Mapping[str, str], method: str, path: str) -> CallSpan:
        """Open the server span of a request, below the client's trace when `call_headers` carries a valid one.

        `path` names the span: an endpoint's path, or "" for one that only a client made up. Probes have no span.
        """
        if self._tracing is None or path in _PROBES:
            return NO_CALL_SPAN
        return self._tracing.start_call(call_headers, method, path)

    def record(self, outcome: Outcome, overhead_s: float, duration_s: float) -> None:
        """Count a call that has ended: seconds spent in the gateway alone, and seconds in all."""
        self._counts.add(outcome, overhead_s, duration_s)

    def record_refused(self, endpoint: str, status: int) -> None:
        """Count a call refused before it was known who pays; `endpoint` is an Endpoint's name or ""."""
        self._counts.add_refused(endpoint, status)

    def report_config(self, snapshot: Snapshot | None, age_s: float) -> None:
        """Show the configuration in force, and the seconds since its source last stood by it."""
        if snapshot is not None:
            self.families.config_revision.set(snapshot.revision)
            self.families.config_age.set(age_s)

    def report_usage(self, *, held: int, delivered: int, retries: int, is_connected: bool) -> None:
        """Show where usage events are: counts since the start of this process."""
        self.families.usage_buffered.set(held)
        self.families.usage_connected.set(is_connected)
        self.families.usage_published.inc(delivered - self._delivered)
        self.families.usage_retries.inc(retries - self._retries)
        self._delivered, self._retries = delivered, retries
