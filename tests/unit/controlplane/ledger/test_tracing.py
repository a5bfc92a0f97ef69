"""Spans of booked batches are linked to the attempts that they book."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from controlplane.ledger.booking import read_parcels
from controlplane.ledger.entries import Delivery
from controlplane.ledger.tracing import LINKS_PER_SPAN, BookingTracer, span_context
from tests.fakes.usage_events import FakeDataPlane, batch
from tollway.usage.v1.usage_pb2 import UsageEvent

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def exported(events: list[UsageEvent]) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    [parcels] = read_parcels([Delivery("tollway.usage.v1.a", 1, 1, batch(events))])
    BookingTracer(provider.get_tracer("test")).trace(parcels, 1_000)
    return exporter


def test_a_span_links_to_each_sampled_attempt() -> None:
    plane = FakeDataPlane(boot_id=1)
    [span] = exported([plane.event(traceparent=SAMPLED), plane.event()]).get_finished_spans()
    assert (span.name, span.kind, span.start_time) == ("book usage", SpanKind.CONSUMER, 1_000)
    [link] = span.links
    assert f"{link.context.trace_id:032x}-{link.context.span_id:016x}" == SAMPLED[3:52]


def test_no_link_is_lost_in_a_large_batch() -> None:
    plane = FakeDataPlane(boot_id=1)
    spans = exported([plane.event(traceparent=SAMPLED) for _ in range(LINKS_PER_SPAN + 1)]).get_finished_spans()
    assert sum(len(span.links) for span in spans) == LINKS_PER_SPAN + 1


def test_without_sampled_attempts_there_is_no_span() -> None:
    plane = FakeDataPlane(boot_id=1)
    assert exported([plane.event(traceparent=SAMPLED[:-1] + "0")]).get_finished_spans() == ()


@pytest.mark.parametrize("text", ["", SAMPLED[:-1] + "g", "01" + SAMPLED[2:], "00-" + "0" * 32 + SAMPLED[35:], "a-b"])
def test_what_is_no_sampled_context_is_none(text: str) -> None:
    assert span_context(text) is None
