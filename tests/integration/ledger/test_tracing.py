"""The consumer's span, as a collector gets it."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fakes.usage_events import FakeDataPlane, batch
from tests.integration.ledger.processes import ConsumerProcesses
from tests.integration.ledger.publishing import publish_all
from tollctl.local.nats import EmbeddedNats

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """An OTLP/HTTP endpoint that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: asyncio.Queue[tuple[str, Span]] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put_nowait((service, span))
        return web.Response(body=b"")


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield collector
    await runner.cleanup()


async def test_booking_is_a_consumer_span_linked_to_the_attempt(
    collector: Collector, consumers: ConsumerProcesses, usage_nats: EmbeddedNats
) -> None:
    consumers.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    consumer = await consumers.start()
    plane = FakeDataPlane(boot_id=1)
    events = [plane.event(traceparent=f"00-{TRACE_ID}-{SPAN_ID}-01"), plane.event()]
    await publish_all(usage_nats.url(), [batch(events)])
    service, span = await asyncio.wait_for(collector.spans.get(), 20)
    assert (service, span.name, span.kind) == ("tollway-consumer", "book usage", Span.SPAN_KIND_CONSUMER)
    [link] = span.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert await consumer.stop() == 0
