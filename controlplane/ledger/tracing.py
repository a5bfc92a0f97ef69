"""A consumer span per booked batch, linked to the attempts that it books."""

from collections.abc import Iterable, Iterator
from itertools import islice

from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, Tracer

from controlplane.ledger.booking import Parcel
from tollway.kernel.subjects import USAGE_STREAM

SPAN_NAME = "book usage"
LINKS_PER_SPAN = 128
_VERSION = "00"


class BookingTracer:
    """Writes spans with `tracer`; events without a trace context of a sampled call leave none."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def trace(self, parcels: Iterable[Parcel], start_time_ns: int) -> None:
        """Spans of a batch that began at `start_time_ns`, Unix nanoseconds, and has just been committed."""
        links = _links(parcels)
        while some := list(islice(links, LINKS_PER_SPAN)):
            attributes: dict[str, str | int] = {
                "messaging.system": "nats",
                "messaging.destination.name": USAGE_STREAM,
                "messaging.operation.name": "book",
                "messaging.operation.type": "process",
                "messaging.batch.message_count": len(some),
            }
            span = self._tracer.start_span(
                SPAN_NAME, kind=SpanKind.CONSUMER, links=some, attributes=attributes, start_time=start_time_ns
            )
            span.end()


def _links(parcels: Iterable[Parcel]) -> Iterator[Link]:
    for parcel in parcels:
        for entry in parcel.entries:
            context = span_context(entry.traceparent)
            if context is not None:
                yield Link(context, {"tollway.event_id": str(entry.event_id)})


def span_context(traceparent: str) -> SpanContext | None:
    """The span that a W3C traceparent names; None when it names none or was not sampled."""
    parts = traceparent.split("-")
    if len(parts) != 4 or parts[0] != _VERSION:
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:])
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid and context.trace_flags.sampled else None
