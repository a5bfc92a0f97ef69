import asyncio

import aiohttp
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.fakes.otlp import attributes, collecting
from tests.integration.dataplane_process.conftest import DataPlaneProcess, Site
from tests.integration.emitter.conftest import jetstream
from tollway.kernel.subjects import USAGE_STREAM
from tollway.usage.v1.usage_pb2 import UsageEventBatch

PROMPT = "prompt-canary words"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


async def call(plane: DataPlaneProcess, model: str, **headers: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    url = f"{plane.api_url}/v1/chat/completions"
    async with plane.session() as session, session.post(url, json=body, headers=headers) as response:
        await response.read()
        return response.status


async def test_a_call_is_one_tree_under_the_clients_trace(site: Site) -> None:
    async with collecting() as collector:
        plane = await site.start(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test"
        )
        assert await call(plane, "sim/echo", traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01") == 200
        plane.terminate()
        assert await plane.wait() == 0, plane.log

        server = collector.named("POST /v1/chat/completions")
        operation = collector.named("chat sim/echo")
        attempt = collector.named("attempt 1 sim")
        assert len(collector.spans) == 3
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
        assert server.parent_span_id.hex() == PARENT_ID
        assert operation.parent_span_id == server.span_id
        assert attempt.parent_span_id == operation.span_id
        assert (server.kind, operation.kind, attempt.kind) == (
            Span.SPAN_KIND_SERVER,
            Span.SPAN_KIND_CLIENT,
            Span.SPAN_KIND_CLIENT,
        )
        assert server.end_time_unix_nano >= operation.end_time_unix_nano >= attempt.end_time_unix_nano

        assert (
            attributes(server).items()
            >= {
                "http.request.method": "POST",
                "http.route": "/v1/chat/completions",
                "http.response.status_code": 200,
                "tollway.team": "teams/demo",
                "tollway.key": "teams/demo/keys/app",
            }.items()
        )
        assert (
            attributes(operation).items()
            >= {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "sim",
                "gen_ai.request.model": "sim/echo",
                "gen_ai.usage.input_tokens": 2,
                "gen_ai.usage.output_tokens": 2,
                "tollway.cost_usd": "0.00001",
            }.items()
        )
        assert (
            attributes(attempt).items()
            >= {
                "gen_ai.provider.name": "sim",
                "gen_ai.request.model": "echo",
                "server.address": "127.0.0.1",
                "tollway.upstream": "upstreams/sim",
            }.items()
        )
        resource = collector.resources[0]
        assert (resource["service.name"], resource["service.instance.id"]) == ("tollway-dataplane", "node")
        assert resource["deployment.environment.name"] == "test"

        sent = b"".join(collector.bodies)
        assert b"prompt-canary" not in sent
        assert site.key.encode() not in sent
        assert b"authorization" not in sent.lower()

    async with jetstream(site.nats.url()) as js:
        message = await js.get_msg(USAGE_STREAM, seq=1)
    (event,) = UsageEventBatch.FromString(message.data or b"").events
    assert event.traceparent[:53] == f"00-{TRACE_ID}-{attempt.span_id.hex()}-"


async def test_failures_and_retries_show_as_such(site: Site) -> None:
    async with collecting() as collector:
        plane = await site.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert await call(plane, "sim/status-503") == 502
        assert await call(plane, "nowhere/x", traceparent="not a trace") == 404
        plane.terminate()
        assert await plane.wait() == 0, plane.log

    attempts = [span for span in collector.spans if span.name.startswith("attempt ")]
    assert [span.name for span in attempts] == ["attempt 1 sim", "attempt 2 sim", "attempt 3 sim"]
    for span in attempts:
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert attributes(span)["http.response.status_code"] == 503
    failed = collector.named("chat sim/status-503")
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == "upstream_error"
    refused = [span for span in collector.spans if attributes(span).get("http.response.status_code") == 404]
    assert [attributes(span)["error.type"] for span in refused] == ["model_not_found"]
    assert {span.trace_id for span in refused}.isdisjoint({span.trace_id for span in attempts})
    assert refused[0].parent_span_id == b""


async def test_the_sampler_of_the_environment_is_honoured(site: Site) -> None:
    async with collecting() as collector:
        plane = await site.start(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="parentbased_always_off"
        )
        for _ in range(20):
            assert await call(plane, "sim/echo") == 200
        assert await call(plane, "sim/echo", traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01") == 200
        plane.terminate()
        assert await plane.wait() == 0, plane.log

    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    assert len(collector.spans) == 3


async def test_a_collector_that_is_away_harms_nothing(site: Site) -> None:
    plane = await site.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert await call(plane, "sim/echo") == 200
    plane.terminate()
    async with asyncio.timeout(15):
        assert await plane.wait() == 0, plane.log


async def test_without_an_endpoint_nothing_is_traced(site: Site) -> None:
    plane = await site.start()
    assert await call(plane, "sim/echo") == 200
    async with aiohttp.ClientSession() as session, session.get(f"{plane.metrics_url}/metrics") as response:
        assert "tollway_requests_total" in await response.text()
    plane.terminate()
    assert await plane.wait() == 0, plane.log
    async with jetstream(site.nats.url()) as js:
        message = await js.get_msg(USAGE_STREAM, seq=1)
    (event,) = UsageEventBatch.FromString(message.data or b"").events
    assert event.traceparent == ""
