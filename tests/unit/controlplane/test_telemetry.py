"""Prometheus families and spans of admin calls."""

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from controlplane.telemetry import Telemetry, Tracing, build_registry

METHOD = "tollway.admin.v1.TeamService/GetTeam"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_calls_are_counted_by_method_and_code() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    with telemetry.admin_call(METHOD, ""):
        pass
    with pytest.raises(ValueError, match="x"), telemetry.admin_call(METHOD, "") as record:
        record.fail("NOT_FOUND", 404)
        raise ValueError("x")
    for code in ("OK", "NOT_FOUND"):
        labels = {"method": "GetTeam", "code": code}
        assert registry.get_sample_value("tollway_admin_requests_total", labels) == 1
    assert registry.get_sample_value("tollway_admin_request_seconds_count", {"method": "GetTeam"}) == 2


def test_the_feed_is_shown_as_it_is_at_the_scrape() -> None:
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    subscribers = [0]
    telemetry.watch_feed(lambda: subscribers[0], lambda: 41)
    subscribers[0] = 3
    assert registry.get_sample_value("tollway_feed_subscribers") == 3
    assert registry.get_sample_value("tollway_config_revision") == 41


def test_a_call_is_a_span_below_the_callers() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(exporter), service="s", version="1")
    telemetry = Telemetry(CollectorRegistry(), tracing)
    with telemetry.admin_call(METHOD, TRACEPARENT) as record:
        record.fail("INTERNAL", 500)
    with telemetry.admin_call(METHOD, "nonsense"):
        pass
    tracing.close()
    below, own = exporter.get_finished_spans()
    assert below.name == METHOD
    assert below.parent is not None
    assert f"{below.parent.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert not below.status.is_ok
    assert own.parent is None


def test_the_process_itself_is_in_the_registry() -> None:
    assert b"process_open_fds" in generate_latest(build_registry())
