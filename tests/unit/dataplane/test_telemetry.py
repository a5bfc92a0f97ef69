from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from dataplane.metrics import CallCounts, Families
from dataplane.spans import NO_ATTEMPT_SPAN, NO_CALL_SPAN
from dataplane.telemetry import Telemetry, UsageReport
from tests.fakes.outcomes import KEY, SNAPSHOT, START_TIME_US, make_attempt, make_call, make_outcome
from tollway.kernel.usage import SettlementState, Usage


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def value(registry: CollectorRegistry, sample: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"tollway_{sample}", labels)


def test_an_answered_call_counts_once_everywhere(registry: CollectorRegistry) -> None:
    telemetry = Telemetry(registry)
    attempt = make_attempt(usage=Usage(input=3, cache_read=7, output=5, reasoning=2), cost_nano_usd=1_500_000_000)

    telemetry.record(make_outcome(attempt), overhead_s=0.003, duration_s=0.4)

    who = {"team": "teams/growth", "model": "smart", "provider": "openai"}
    where = {"endpoint": "chat_completions", "model": "smart", "provider": "openai"}
    assert value(registry, "requests_total", endpoint="chat_completions", status="2xx", **who) == 1
    assert value(registry, "request_duration_seconds_sum", **where) == pytest.approx(0.4)
    assert value(registry, "time_to_first_frame_seconds_sum", **where) == pytest.approx(0.25)
    assert value(registry, "overhead_seconds_sum", endpoint="chat_completions") == pytest.approx(0.003)
    tokens = {kind: value(registry, "tokens_total", type=kind, **who) for kind in ("input", "cache_read", "output")}
    assert tokens == {"input": 3, "cache_read": 7, "output": 5}
    assert value(registry, "tokens_total", type="reasoning", **who) == 2
    assert value(registry, "cost_usd_total", **who) == pytest.approx(1.5)
    assert value(registry, "upstream_attempts_total", provider="openai", outcome="ok") == 1


def test_each_attempt_counts_and_the_last_one_names_the_provider(registry: CollectorRegistry) -> None:
    telemetry = Telemetry(registry)
    failed = make_attempt(
        1,
        error_code="rate_limited",
        usage=Usage(),
        cost_nano_usd=0,
        state=SettlementState.NOT_BILLED,
        first_frame_time_us=0,
    )
    other = make_attempt(2, upstream=replace(make_attempt().upstream, provider="sim"))

    telemetry.record(make_outcome(failed, other), overhead_s=0.0, duration_s=1.0)

    assert value(registry, "upstream_attempts_total", provider="openai", outcome="rate_limited") == 1
    assert value(registry, "upstream_attempts_total", provider="sim", outcome="ok") == 1
    labels = {"endpoint": "chat_completions", "team": "teams/growth", "model": "smart", "status": "2xx"}
    assert value(registry, "requests_total", provider="sim", **labels) == 1
    assert value(registry, "requests_total", provider="openai", **labels) is None


def test_refused_calls_count_without_team_or_model(registry: CollectorRegistry) -> None:
    Telemetry(registry).record_refused("/v1/models", 401)

    labels = {"endpoint": "/v1/models", "team": "", "model": "", "provider": "", "status": "4xx"}
    assert value(registry, "requests_total", **labels) == 1


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("smart", "smart"),
        ("openai/gpt-listed", "openai/gpt-listed"),
        ("openai/whatever-i-like", "other"),
        ("nowhere/x", "other"),
        ("made up", "other"),
    ],
)
def test_clients_cannot_make_labels_up(registry: CollectorRegistry, model: str, label: str) -> None:
    outcome = make_outcome(call=make_call(model=model), status=404)
    outcome.attempts.clear()

    Telemetry(registry).record(outcome, 0.0, 0.0)

    labels = {"endpoint": "chat_completions", "team": "teams/growth", "provider": "", "status": "4xx"}
    assert value(registry, "requests_total", model=label, **labels) == 1


def test_label_sets_are_bounded(registry: CollectorRegistry) -> None:
    counts = CallCounts(Families(registry), limit=10)
    routes = {f"model-{n}": SNAPSHOT.routes["smart"] for n in range(200)}
    snapshot = replace(SNAPSHOT, routes=routes)

    for model in routes:
        counts.add(make_outcome(call=make_call(model=model, snapshot=snapshot)), 0.0, 0.0)

    samples = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name in ("tollway_requests_total", "tollway_cost_usd_total")
    ]
    assert len(samples) == 22
    assert sum(sample.value for sample in samples if sample.name == "tollway_requests_total") == 200
    others = {"team": "other", "model": "other", "provider": "openai"}
    assert value(registry, "requests_total", endpoint="chat_completions", status="2xx", **others) == 190


def test_no_sample_shows_a_key_or_what_a_client_said(registry: CollectorRegistry) -> None:
    call = make_call(client_request_id="canary-1", end_user="canary-2", metadata={"canary-3": "canary-4"})

    Telemetry(registry).record(make_outcome(call=call), 0.0, 0.0)

    shown = str([sample for family in registry.collect() for sample in family.samples])
    assert "canary" not in shown
    assert KEY.name not in shown


def test_gauges_show_configuration_and_usage(registry: CollectorRegistry) -> None:
    telemetry = Telemetry(registry)
    telemetry.report_config(None, float("inf"))
    assert value(registry, "config_revision") == 0

    telemetry.report_config(SNAPSHOT, 1.5)
    telemetry.report_usage(UsageReport(5, 7, published_events=10, retries=1, is_connected=True))
    telemetry.report_usage(UsageReport(2, 6, published_events=13, retries=4, is_connected=False))

    assert (value(registry, "config_revision"), value(registry, "config_age_seconds")) == (7, 1.5)
    assert (value(registry, "usage_buffered_events"), value(registry, "usage_connected")) == (2, 0)
    assert value(registry, "usage_published_events_total") == 13
    assert value(registry, "usage_unacknowledged_events") == 6
    assert value(registry, "usage_publish_retries_total") == 4


def test_calls_in_flight_are_counted_up_and_down(registry: CollectorRegistry) -> None:
    telemetry = Telemetry(registry)
    telemetry.in_flight.inc()
    telemetry.in_flight.inc()
    telemetry.in_flight.dec()

    assert value(registry, "calls_in_flight") == 1


def test_without_tracing_spans_are_nothing(registry: CollectorRegistry) -> None:
    span = Telemetry(registry).call_started({"traceparent": "00-1-2-01"}, "POST", "/v1/chat/completions")
    attempt = make_attempt()

    assert span is NO_CALL_SPAN
    span.begin_operation("chat", "smart")
    assert span.begin_attempt(attempt) is NO_ATTEMPT_SPAN
    NO_ATTEMPT_SPAN.end(attempt)
    span.end(make_outcome(attempt), START_TIME_US)
    assert attempt.traceparent == ""
