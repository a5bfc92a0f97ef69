"""One trace tree per call, from the app's span through the gateway's to the one that books the usage."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.e2e.stack import Admin, Stack, eventually
from tests.fakes.otlp import Collector, attributes, collecting

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = "prompt-canary-words of nobody's business"
PATH = "/v1/chat/completions"
SERVER, CLIENT, CONSUMER = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_CONSUMER


@dataclass(frozen=True, slots=True)
class Traced:
    """A stack that exports its spans to `collector`, with two upstreams and the routes over them."""

    stack: Stack
    collector: Collector
    key: str
    team: str

    async def call(self, body: dict[str, Any], **headers: str) -> tuple[int, str]:
        """Status and text of a chat completion."""
        url = f"{self.stack.info['openai_base_url']}/chat/completions"
        sent = {"authorization": f"Bearer {self.key}", **headers}
        full = {"messages": [{"role": "user", "content": PROMPT}], **body}
        async with aiohttp.ClientSession() as session, session.post(url, json=full, headers=sent) as response:
            return response.status, await response.text()

    async def tree(self, trace_id: str, attempts: int) -> "Tree":
        """The trace's whole tree, once the collector has it and the booking of all its attempts."""
        tree = Tree(trace_id)

        def is_whole() -> bool:
            tree.read(self.collector)
            booked = {link.span_id for span in tree.bookings for link in span.links}
            return len(tree.spans) == attempts + 2 and {span.span_id for span in tree.attempts} <= booked

        try:
            await eventually(is_whole, 10, "the trace")
        except AssertionError as error:
            names = [span.name for span in tree.spans]
            raise AssertionError(f"spans {names}, {len(tree.bookings)} bookings") from error
        return tree


@dataclass(slots=True)
class Tree:
    """What the collector has of one trace; `bookings` are the consumer's spans that link to it."""

    trace_id: str
    spans: list[Span] = field(default_factory=list)
    bookings: list[Span] = field(default_factory=list)

    def read(self, collector: Collector) -> None:
        wanted = bytes.fromhex(self.trace_id)
        self.spans = [span for span in collector.spans if span.trace_id == wanted]
        linked = [span for span in collector.spans if any(link.trace_id == wanted for link in span.links)]
        self.bookings = [span for span in linked if span.kind == CONSUMER]

    @property
    def server(self) -> Span:
        (span,) = [span for span in self.spans if span.kind == SERVER]
        return span

    @property
    def operation(self) -> Span:
        (span,) = [span for span in self.spans if span.parent_span_id == self.server.span_id]
        return span

    @property
    def attempts(self) -> list[Span]:
        found = [span for span in self.spans if span.name.startswith("attempt ")]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def check_shape(self, model: str, attempts: int) -> None:
        """SERVER > CLIENT `chat MODEL` > a CLIENT per attempt, each inside the time of its parent."""
        server, operation, tried = self.server, self.operation, self.attempts
        assert server.name == f"POST {PATH}"
        assert (operation.name, operation.kind) == (f"chat {model}", CLIENT)
        assert [span.name for span in tried] == [f"attempt {n} sim" for n in range(1, attempts + 1)]
        assert {span.parent_span_id for span in tried} == {operation.span_id}
        assert {span.kind for span in tried} == {CLIENT}
        for parent, child in [(server, operation), *((operation, span) for span in tried)]:
            assert parent.start_time_unix_nano <= child.start_time_unix_nano
            assert child.end_time_unix_nano <= parent.end_time_unix_nano


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    async with collecting() as collector:
        stack = Stack(
            tmp_path_factory.mktemp("traced"),
            environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"},
        )
        await stack.start()
        admin = Admin(stack)
        try:
            team = f"traced-{secrets.token_hex(3)}"
            key = await admin.create_team(team)
            await _make_route(stack, admin)
            made = Traced(stack, collector, key, team)
            await eventually(lambda: _is_served(made, "resilient"), 5, "the data plane to know the route")
            yield made
        finally:
            await admin.close()
            assert await stack.stop() == 0, stack.log


async def _make_route(stack: Stack, admin: Admin) -> None:
    for upstream in ("first", "second"):
        body = {"provider": "sim", "base_url": f"{stack.info['sim_url']}/v1"}
        await admin.call("POST", f"/v1/upstreams?upstream_id={upstream}", body)
    targets = [
        {"upstream": "first", "model": "status-503", "priority": 0},
        {"upstream": "second", "model": "echo", "priority": 1},
    ]
    await admin.call("POST", "/v1/routes?route_id=resilient", {"strategy": "priority", "targets": targets})


async def _is_served(traced: Traced, model: str) -> bool:
    status, _ = await traced.call({"model": model})
    return status == 200


def _traceparent() -> tuple[str, str, str]:
    trace_id, parent_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, parent_id, f"00-{trace_id}-{parent_id}-01"


async def test_a_plain_call_is_one_tree_below_the_clients_span_and_is_linked_by_its_booking(traced: Traced) -> None:
    trace_id, parent_id, traceparent = _traceparent()
    status, text = await traced.call({"model": "sim/lorem-7"}, traceparent=traceparent)
    assert status == 200, text
    tree = await traced.tree(trace_id, attempts=1)
    tree.check_shape("sim/lorem-7", attempts=1)
    assert tree.server.parent_span_id.hex() == parent_id
    request_id = attributes(tree.server).pop("tollway.request_id")
    assert isinstance(request_id, str) and request_id.startswith("req_")
    assert attributes(tree.server) == {
        "http.request.method": "POST",
        "http.route": PATH,
        "url.path": PATH,
        "url.scheme": "http",
        "http.response.status_code": 200,
        "tollway.request_id": request_id,
        "tollway.team": f"teams/{traced.team}",
        "tollway.key": f"teams/{traced.team}/keys/k",
        "tollway.route": "",
    }
    usage = {
        "gen_ai.response.model": "lorem-7",
        "gen_ai.usage.input_tokens": len(PROMPT.split()),
        "gen_ai.usage.output_tokens": 7,
    }
    assert attributes(tree.operation) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sim",
        "gen_ai.request.model": "sim/lorem-7",
        "gen_ai.request.stream": False,
        "tollway.cost_usd": "0.000032",
        **usage,
    }
    (attempt,) = tree.attempts
    port = int(str(traced.stack.info["sim_url"]).rpartition(":")[2])
    assert attributes(attempt) == {
        "gen_ai.provider.name": "sim",
        "gen_ai.request.model": "lorem-7",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
        "tollway.upstream": "upstreams/sim",
        "tollway.attempt": 1,
        "tollway.settlement_state": "reported",
        **usage,
    }
    assert [event.name for event in attempt.events] == ["first_frame"]
    assert {span.status.code for span in tree.spans} == {Status.STATUS_CODE_UNSET}
    (booking,) = tree.bookings
    assert booking.name == "book usage"
    assert booking.trace_id != attempt.trace_id
    assert attributes(booking)["messaging.system"] == "nats"


async def test_a_stream_is_the_same_tree_until_its_end(traced: Traced) -> None:
    trace_id, _, traceparent = _traceparent()
    status, text = await traced.call({"model": "sim/lorem-9", "stream": True}, traceparent=traceparent)
    assert status == 200 and text.endswith("data: [DONE]\n\n")
    tree = await traced.tree(trace_id, attempts=1)
    tree.check_shape("sim/lorem-9", attempts=1)
    found = attributes(tree.operation)
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.usage.input_tokens"] == len(PROMPT.split())
    assert found["gen_ai.usage.output_tokens"] == 9
    (attempt,) = tree.attempts
    (first_frame,) = attempt.events
    assert attempt.start_time_unix_nano < first_frame.time_unix_nano < attempt.end_time_unix_nano


async def test_a_fallback_over_two_upstreams_shows_both_attempts(traced: Traced) -> None:
    trace_id, _, traceparent = _traceparent()
    status, text = await traced.call({"model": "resilient"}, traceparent=traceparent)
    assert status == 200, text
    tree = await traced.tree(trace_id, attempts=2)
    tree.check_shape("resilient", attempts=2)
    failed, good = tree.attempts
    assert attributes(failed).items() >= {
        "tollway.upstream": "upstreams/first",
        "tollway.attempt": 1,
        "gen_ai.provider.name": "sim",
        "gen_ai.request.model": "status-503",
        "http.response.status_code": 503,
        "error.type": "overloaded",
    }.items()  # fmt: skip
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(good).items() >= {
        "tollway.upstream": "upstreams/second",
        "tollway.attempt": 2,
        "gen_ai.request.model": "echo",
        "http.response.status_code": 200,
    }.items()  # fmt: skip
    assert "error.type" not in attributes(good)
    assert attributes(tree.server)["tollway.route"] == "routes/resilient"
    for span in (tree.server, tree.operation, good):
        assert span.status.code == Status.STATUS_CODE_UNSET
        assert "error.type" not in attributes(span)


async def test_a_call_that_every_attempt_fails_says_so_in_each_span(traced: Traced) -> None:
    trace_id, _, traceparent = _traceparent()
    status, text = await traced.call({"model": "sim/status-500"}, traceparent=traceparent)
    assert status == 502, text
    tree = await traced.tree(trace_id, attempts=3)
    tree.check_shape("sim/status-500", attempts=3)
    assert {attributes(span)["error.type"] for span in tree.attempts} == {"server"}
    assert attributes(tree.operation)["error.type"] == attributes(tree.server)["error.type"] == "upstream_error"
    assert {span.status.code for span in tree.spans} == {Status.STATUS_CODE_ERROR}


async def test_a_client_error_is_no_error_of_the_server(traced: Traced) -> None:
    trace_id, parent_id, traceparent = _traceparent()
    status, text = await traced.call({"model": "sim/echo", "messages": "no list"}, traceparent=traceparent)
    assert status == 400, text
    tree = await traced.tree(trace_id, attempts=1)
    tree.check_shape("sim/echo", attempts=1)
    assert attributes(tree.attempts[0])["error.type"] == "invalid"
    assert attributes(tree.server)["http.response.status_code"] == 400
    assert tree.server.status.code == Status.STATUS_CODE_UNSET
    assert tree.server.parent_span_id.hex() == parent_id


async def test_a_refused_call_is_a_server_span_alone(traced: Traced) -> None:
    trace_id, _, traceparent = _traceparent()
    status, _ = await traced.call({"model": "sim/echo"}, traceparent=traceparent, authorization="Bearer wrong")
    assert status == 401
    tree = Tree(trace_id)

    def is_there() -> bool:
        tree.read(traced.collector)
        return bool(tree.spans)

    await eventually(is_there, 10, "the span")
    await asyncio.sleep(0.3)
    tree.read(traced.collector)
    (server,) = tree.spans
    assert attributes(server)["error.type"] == "401"


@pytest.mark.parametrize("traceparent", ["", "00-zz-01", "ff-" + "1" * 32 + "-" + "2" * 16 + "-01"])
async def test_without_a_valid_trace_context_a_call_begins_a_trace(traced: Traced, traceparent: str) -> None:
    before = len(traced.collector.spans)
    headers = {"traceparent": traceparent} if traceparent else {}
    status, text = await traced.call({"model": "sim/lorem-3"}, **headers)
    assert status == 200, text
    roots: list[Span] = []

    def has_root() -> bool:
        roots[:] = [
            span for span in traced.collector.spans[before:] if span.kind == SERVER and span.name.endswith(PATH)
        ]
        return bool(roots)

    await eventually(has_root, 10, "the span")
    (root,) = roots
    assert root.parent_span_id == b""
    tree = await traced.tree(root.trace_id.hex(), attempts=1)
    tree.check_shape("sim/lorem-3", attempts=1)


async def test_what_the_client_did_not_sample_is_not_exported(traced: Traced) -> None:
    trace_id, _, traceparent = _traceparent()
    status, _ = await traced.call({"model": "sim/echo"}, traceparent=traceparent[:-2] + "00")
    assert status == 200
    later_id, _, later = _traceparent()
    await traced.call({"model": "sim/echo"}, traceparent=later)
    await traced.tree(later_id, attempts=1)
    assert not [span for span in traced.collector.spans if span.trace_id.hex() == trace_id]


async def test_no_span_holds_a_credential_or_words_of_a_prompt(traced: Traced) -> None:
    trace_id, _, traceparent = _traceparent()
    await traced.call({"model": "sim/echo", "user": "user-canary"}, traceparent=traceparent)
    await traced.tree(trace_id, attempts=1)
    info = traced.stack.info
    credentials = json.loads((traced.stack.data_dir / "secrets.json").read_text())
    hidden = [*credentials.values(), traced.key, info["admin_token"], "prompt-canary", "user-canary", "uthorization"]
    sent = b"".join(traced.collector.bodies)
    assert len(traced.collector.spans) > 5
    assert not [value for value in hidden if value.encode() in sent]
    services = {str(resource["service.name"]) for resource in traced.collector.resources}
    assert services >= {"tollway-dataplane", "tollway-controlplane", "tollway-consumer"}


@pytest.mark.asyncio(loop_scope="function")
async def test_without_an_endpoint_nothing_is_traced(stack: Stack, admin: Admin) -> None:
    assert not [name for name in os.environ if name.startswith("OTEL_EXPORTER_")]
    team = f"untraced-{secrets.token_hex(3)}"
    traced = Traced(stack, Collector(), await admin.create_team(team), team)
    await eventually(lambda: _is_served(traced, "sim/echo"), 5, "the data plane to know the key")
    _, _, traceparent = _traceparent()
    status, text = await traced.call({"model": "sim/echo"}, traceparent=traceparent)
    assert status == 200, text
    connection = await asyncpg.connect(stack.info["database_url"])
    try:

        async def booked() -> list[str]:
            query = "SELECT traceparent FROM ledger_entry WHERE team = $1"
            return [row["traceparent"] for row in await connection.fetch(query, f"teams/{team}")]

        async def are_both_booked() -> bool:
            return len(await booked()) == 2

        await eventually(are_both_booked, 10, "the calls to be booked")
        assert set(await booked()) == {""}
    finally:
        await connection.close()
