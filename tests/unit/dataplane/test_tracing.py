import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry

from dataplane.spans import NO_CALL_SPAN
from dataplane.telemetry import Telemetry
from dataplane.tracing import Tracing
from tests.fakes.outcomes import START_TIME_US, make_attempt, make_call, make_outcome
from tollway.kernel.usage import Usage

PATH = "/v1/chat/completions"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Recorded:
    """Telemetry whose ended spans are at hand."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self.exporter), node="n", version="1", scheme="https")
        self.telemetry = Telemetry(CollectorRegistry(), self.tracing)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_an_answered_call_is_three_spans_inside_one_another(recorded: Recorded) -> None:
    span = recorded.telemetry.call_started({"traceparent": TRACEPARENT}, "POST", PATH)
    span.begin_operation("chat", "smart")
    attempt = make_attempt(usage=Usage(input=3, cache_read=4, output=5, reasoning=1))
    span.begin_attempt(attempt).end(attempt)
    span.end(make_outcome(attempt, call=make_call(stream=True)), 200)

    spans = recorded.spans()
    server, chat, tried = spans[f"POST {PATH}"], spans["chat smart"], spans["attempt 1 openai"]
    assert [s.kind for s in (server, chat, tried)] == [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CLIENT]
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == "b7ad6b7169203331"
    assert chat.parent == server.context
    assert tried.parent == chat.context
    assert tried.context is not None
    assert attempt.traceparent.startswith(f"00-0af7651916cd43dd8448eb211c80319c-{tried.context.span_id:016x}-")
    assert attributes(server) == {
        "http.request.method": "POST",
        "http.route": PATH,
        "url.path": PATH,
        "url.scheme": "https",
        "http.response.status_code": 200,
        "tollway.request_id": make_call().request_id,
        "tollway.team": "teams/growth",
        "tollway.key": "teams/growth/keys/ci",
        "tollway.route": "routes/smart",
    }
    assert attributes(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "smart",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-x-2026",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "tollway.cost_usd": "0.000000123",
    }
    assert (
        attributes(tried).items()
        >= {
            "gen_ai.request.model": "gpt-x",
            "server.address": "api.example.com",
            "server.port": 443,
            "tollway.upstream": "upstreams/openai",
            "tollway.attempt": 1,
            "tollway.settlement_state": "reported",
            "http.response.status_code": 200,
        }.items()
    )
    assert [event.timestamp for event in tried.events] == [(START_TIME_US + 250_000) * 1000]
    assert {s.status.status_code for s in (server, chat, tried)} == {StatusCode.UNSET}


def test_attempts_of_one_call_are_siblings(recorded: Recorded) -> None:
    span = recorded.telemetry.call_started({}, "POST", PATH)
    span.begin_operation("chat", "smart")
    attempts = [make_attempt(1, error_code="timeout", status=0), make_attempt(2)]
    for attempt in attempts:
        span.begin_attempt(attempt).end(attempt)
    span.end(make_outcome(*attempts), 200)

    spans = recorded.spans()
    first, second = spans["attempt 1 openai"], spans["attempt 2 openai"]
    assert first.parent == second.parent == spans["chat smart"].context
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(first)["error.type"] == "timeout"
    assert second.status.status_code is StatusCode.UNSET
    assert attempts[0].traceparent != attempts[1].traceparent


@pytest.mark.parametrize(
    ("status", "code", "is_servers_fault"), [(404, "model_not_found", False), (502, "upstream_error", True)]
)
def test_a_failed_call_says_why(recorded: Recorded, status: int, code: str, is_servers_fault: bool) -> None:
    span = recorded.telemetry.call_started({}, "POST", PATH)
    span.begin_operation("chat", "smart")
    outcome = make_outcome(status=status, error_code=code)
    outcome.attempts.clear()
    span.end(outcome, status)

    spans = recorded.spans()
    server, chat = spans[f"POST {PATH}"], spans["chat smart"]
    assert attributes(server)["error.type"] == attributes(chat)["error.type"] == code
    assert (server.status.status_code is StatusCode.ERROR) is is_servers_fault
    assert chat.status.status_code is StatusCode.ERROR


def test_a_call_refused_before_anyone_pays_is_one_span(recorded: Recorded) -> None:
    recorded.telemetry.call_started({}, "GET", "").end(None, 401)

    (span,) = recorded.spans().values()
    assert span.name == "GET"
    assert attributes(span) == {
        "http.request.method": "GET",
        "url.scheme": "https",
        "http.response.status_code": 401,
        "error.type": "401",
    }


@pytest.mark.parametrize("traceparent", ["nonsense", "00-0-0-01", "ff" + TRACEPARENT[2:]])
def test_an_invalid_trace_context_begins_a_new_trace(recorded: Recorded, traceparent: str) -> None:
    recorded.telemetry.call_started({"traceparent": traceparent}, "POST", PATH).end(None, 200)

    (span,) = recorded.spans().values()
    assert span.parent is None


def test_what_the_client_does_not_sample_is_not_recorded(recorded: Recorded) -> None:
    headers = {"traceparent": TRACEPARENT[:-2] + "00"}

    assert recorded.telemetry.call_started(headers, "POST", PATH) is NO_CALL_SPAN


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_make_no_spans(recorded: Recorded, path: str) -> None:
    assert recorded.telemetry.call_started({}, "GET", path) is NO_CALL_SPAN


def test_closing_exports_within_its_bound(recorded: Recorded) -> None:
    assert recorded.tracing.close(timeout_s=5)
