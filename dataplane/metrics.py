"""Prometheus families of a data plane, and the children that a call counts in, made once per set of labels."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dataplane.call import Attempt, Call, Outcome
from tollway.kernel.money import NANO_PER_USD
from tollway.kernel.usage import Meter

OTHER: Final = "other"
LABEL_SETS_LIMIT: Final = 5_000
_MICROSECONDS_PER_SECOND: Final = 1_000_000
_STATUS_CLASSES: Final = {number: f"{number}xx" for number in range(1, 6)}
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_OVERHEAD_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.1, 0.5, 1.0)


class Families:
    """The families by name, in `registry`. Labels never hold a key, and never what only a client said."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        spender = ("team", "model", "provider")
        self.requests = self._counter(
            "requests", "Calls by how they ended.", ("endpoint", "team", "model", "provider", "status")
        )
        self.request_duration = self._histogram(
            "request_duration_seconds", "Whole calls.", ("endpoint", "model", "provider"), _SECONDS
        )
        self.time_to_first_frame = self._histogram(
            "time_to_first_frame_seconds",
            "From a call's start to its first content.",
            ("endpoint", "model", "provider"),
            _SECONDS,
        )
        self.overhead = self._histogram(
            "overhead_seconds", "Time of a call spent in the gateway, not upstream.", ("endpoint",), _OVERHEAD_SECONDS
        )
        self.tokens = self._counter("tokens", "Tokens by meter; reasoning is a part of output.", (*spender, "type"))
        self.cost_usd = self._counter("cost_usd", "Cost of attempts in USD, rounded to what a float holds.", spender)
        self.upstream_attempts = self._counter(
            "upstream_attempts", "Attempts by how they ended: ok, or why not.", ("provider", "outcome")
        )
        self.admissions = self._counter(
            "admissions",
            "Calls that fall under rules, by what came of it; a refused one by the unit of the limit, and why.",
            ("unit", "outcome", "reason"),
        )
        self.leases_connected = self._gauge(
            "leases_connected", "1 while the control plane can be asked for leases.", "livemin"
        )
        self.lease_asks = self._counter("lease_asks", "Times that more of a bucket, or of its time, was asked for.")
        self.lease_waits = self._counter("lease_waits", "Calls that waited for a lease.")
        self.lease_wait_seconds = self._counter("lease_wait_seconds", "Time that calls waited for leases.")
        self.lease_waiting = self._gauge("lease_waiting_calls", "Calls that wait for a lease now.", "livesum")
        self.lease_buckets = self._gauge("lease_buckets", "Buckets of which something is held or wanted.", "livesum")
        self.reservations_open = self._gauge("reservations_open", "Running calls that fall under rules.", "livesum")
        self.in_flight = self._gauge("calls_in_flight", "Calls being served.", "livesum")
        self.config_revision = self._gauge("config_revision", "Revision of the configuration in force.", "livemin")
        self.config_age = self._gauge("config_age_seconds", "Since the control plane was last heard.", "livemax")
        self.usage_buffered = self._gauge("usage_buffered_events", "Usage events not yet delivered.", "livesum")
        self.usage_connected = self._gauge("usage_connected", "1 while connected to NATS.", "livemin")
        self.usage_published = self._counter("usage_published_events", "Usage events delivered.")
        self.usage_unacknowledged = self._gauge(
            "usage_unacknowledged_events", "Usage events that the ledger has not acknowledged.", "livesum"
        )
        self.spool_bytes = self._gauge("usage_spool_bytes", "Size of the usage spool.", "livesum")
        self.spool_adopted = self._gauge(
            "usage_spool_adopted", "Spools of processes that are gone, not yet acknowledged.", "livesum"
        )
        self.spool_fill = self._gauge(
            "usage_spool_fill_ratio", "How full the fullest spool is; calls are refused at 1.", "livemax"
        )
        self.spool_failures = self._counter("usage_spool_failures", "Writes and syncs of the usage spool that failed.")
        self.spool_damages = self._counter(
            "usage_spool_damages", "Places in spools of processes that are gone that could not be read."
        )
        self.usage_unreadable = self._counter(
            "usage_unreadable_events", "Usage events that were to be sent and are not in the spool."
        )
        self.usage_resent = self._counter("usage_resent_events", "Usage events sent again, for NATS had lost them.")
        self.usage_crashed = self._counter(
            "usage_crash_estimates", "Attempts that a process died within, estimated from its spool."
        )
        self.usage_retries = self._counter("usage_publish_retries", "Deliveries of usage tried again.")

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"tollway_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, across_workers: str) -> Gauge:
        return Gauge(f"tollway_{name}", text, registry=self._registry, multiprocess_mode=across_workers)  # type: ignore[arg-type]

    def _histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(f"tollway_{name}", text, labels, buckets=buckets, registry=self._registry)


class _CallChildren:
    """Where calls of one endpoint, team, model, provider and status class count."""

    __slots__ = ("duration", "first_frame", "requests")

    def __init__(self, families: Families, endpoint: str, team: str, model: str, provider: str, status: str) -> None:
        self.requests = families.requests.labels(endpoint, team, model, provider, status)
        self.duration = families.request_duration.labels(endpoint, model, provider)
        self.first_frame = families.time_to_first_frame.labels(endpoint, model, provider)


class _SpendChildren:
    """Where tokens and money of one team, model and provider count."""

    __slots__ = ("_labels", "_tokens", "_tokens_by_meter", "cost_usd")

    def __init__(self, families: Families, team: str, model: str, provider: str) -> None:
        self.cost_usd = families.cost_usd.labels(team, model, provider)
        self._labels = (team, model, provider)
        self._tokens = families.tokens
        self._tokens_by_meter: dict[Meter, Counter] = {}

    def tokens(self, meter: Meter) -> Counter:
        child = self._tokens_by_meter.get(meter)
        if child is None:
            child = self._tokens_by_meter[meter] = self._tokens.labels(*self._labels, meter.word)
        return child


class CallCounts:
    """Counts calls in `families`, with at most `limit` sets of labels; what comes after counts as "other"."""

    def __init__(self, families: Families, limit: int = LABEL_SETS_LIMIT) -> None:
        self._families = families
        self._limit = limit
        self._calls: dict[tuple[str, str, str, str, str], _CallChildren] = {}
        self._spends: dict[tuple[str, str, str], _SpendChildren] = {}
        self._overheads: dict[str, Histogram] = {}
        self._attempts: dict[tuple[str, str], Counter] = {}

    def add(self, outcome: Outcome, overhead_s: float, duration_s: float) -> None:
        """Count a call that someone was to pay for."""
        call, team, attempts = outcome.call, outcome.principal.team, outcome.attempts
        endpoint, model = call.endpoint.name, _known_model(call)
        provider = attempts[-1].upstream.provider if attempts else ""
        children = self._call_children(endpoint, team, model, provider, outcome.status)
        children.requests.inc()
        children.duration.observe(duration_s)
        self._overhead_child(endpoint).observe(overhead_s)
        for attempt in attempts:
            self._add_attempt(attempt, team, model)
        if attempts and attempts[-1].first_frame_time_us:
            waited_us = attempts[-1].first_frame_time_us - call.start_time_us
            children.first_frame.observe(waited_us / _MICROSECONDS_PER_SECOND)

    def add_refused(self, endpoint: str, status: int) -> None:
        """Count a call that was refused before it was known who pays."""
        self._call_children(endpoint, "", "", "", status).requests.inc()

    def _add_attempt(self, attempt: Attempt, team: str, model: str) -> None:
        provider = attempt.upstream.provider
        self._attempt_child(provider, attempt.error_code or "ok").inc()
        readings = attempt.usage.readings()
        if not readings and not attempt.cost_nano_usd:
            return
        spend = self._spend_children(team, model, provider)
        spend.cost_usd.inc(attempt.cost_nano_usd / NANO_PER_USD)
        for meter, quantity in readings:
            spend.tokens(meter).inc(quantity)

    def _call_children(self, endpoint: str, team: str, model: str, provider: str, status: int) -> _CallChildren:
        status_class = _STATUS_CLASSES.get(status // 100, OTHER)
        key = (endpoint, team, model, provider, status_class)
        children = self._calls.get(key)
        if children is None:
            if len(self._calls) >= self._limit:
                key = (endpoint, OTHER, OTHER, provider, status_class)
            children = self._calls.setdefault(key, _CallChildren(self._families, *key))
        return children

    def _spend_children(self, team: str, model: str, provider: str) -> _SpendChildren:
        key = (team, model, provider)
        children = self._spends.get(key)
        if children is None:
            if len(self._spends) >= self._limit:
                key = (OTHER, OTHER, provider)
            children = self._spends.setdefault(key, _SpendChildren(self._families, *key))
        return children

    def _overhead_child(self, endpoint: str) -> Histogram:
        child = self._overheads.get(endpoint)
        if child is None:
            child = self._overheads[endpoint] = self._families.overhead.labels(endpoint)
        return child

    def _attempt_child(self, provider: str, ending: str) -> Counter:
        key = (provider, ending)
        child = self._attempts.get(key)
        if child is None:
            if len(self._attempts) >= self._limit:
                key = (provider, OTHER)
            child = self._attempts.setdefault(key, self._families.upstream_attempts.labels(*key))
        return child


def _known_model(call: Call) -> str:
    """The requested model where the configuration names it, so that clients cannot make labels up."""
    model, snapshot = call.model, call.snapshot
    if model in snapshot.routes:
        return model
    upstream_id, _, upstream_model = model.partition("/")
    upstream = snapshot.upstreams.get(upstream_id)
    return model if upstream is not None and upstream_model in upstream.listed_models else OTHER
