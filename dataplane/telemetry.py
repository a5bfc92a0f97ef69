"""What a data plane tells the outside about its calls: Prometheus counts always, OpenTelemetry spans when asked."""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Where the usage events of this process are, and counts since its start."""

    unpublished_events: int = 0
    unacknowledged_events: int = 0
    spool_bytes: int = 0
    adopted_spools: int = 0
    is_connected: bool = False
    published_events: int = 0
    retries: int = 0
    resent_events: int = 0
    crash_estimates: int = 0
    spool_failures: int = 0
    spool_damages: int = 0
    spool_fill_ratio: float = 0.0
    unreadable_events: int = 0


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """Counts of leases since the start of this process, and what is so now."""

    is_connected: bool = False
    asks: int = 0
    waits: int = 0
    waited_s: float = 0.0
    admitted_calls: int = 0
    waiting_calls: int = 0
    running_calls: int = 0
    buckets: int = 0


class Telemetry:
    """One per process. No method blocks or raises, and none shows a body, a header or a secret."""

    def __init__(self, registry: CollectorRegistry, tracing: "Tracing | None" = None) -> None:
        self.families = Families(registry)
        self._counts = CallCounts(self.families)
        self._tracing = tracing
        self._usage = UsageReport()
        self._leases = LeaseReport()

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

    def report_usage(self, report: UsageReport) -> None:
        """Show where usage events are."""
        families, before = self.families, self._usage
        families.usage_buffered.set(report.unpublished_events)
        families.usage_unacknowledged.set(report.unacknowledged_events)
        families.spool_bytes.set(report.spool_bytes)
        families.spool_adopted.set(report.adopted_spools)
        families.usage_connected.set(report.is_connected)
        families.usage_published.inc(report.published_events - before.published_events)
        families.usage_retries.inc(report.retries - before.retries)
        families.usage_resent.inc(report.resent_events - before.resent_events)
        families.usage_crashed.inc(report.crash_estimates - before.crash_estimates)
        families.spool_failures.inc(report.spool_failures - before.spool_failures)
        families.spool_damages.inc(report.spool_damages - before.spool_damages)
        families.spool_fill.set(report.spool_fill_ratio)
        families.usage_unreadable.inc(report.unreadable_events - before.unreadable_events)
        self._usage = report

    def report_leases(self, report: LeaseReport) -> None:
        """Show what this process holds of rate limits and budgets."""
        families, before = self.families, self._leases
        families.leases_connected.set(report.is_connected)
        families.lease_asks.inc(report.asks - before.asks)
        families.lease_waits.inc(report.waits - before.waits)
        families.lease_wait_seconds.inc(report.waited_s - before.waited_s)
        families.admissions.labels("", "admitted", "").inc(report.admitted_calls - before.admitted_calls)
        families.lease_waiting.set(report.waiting_calls)
        families.reservations_open.set(report.running_calls)
        families.lease_buckets.set(report.buckets)
        self._leases = report
