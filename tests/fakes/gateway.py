"""The data plane's real pipeline on a real socket, with a snapshot laid down by the test and a list as ledger."""

import asyncio
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from aiohttp import web
from prometheus_client import CollectorRegistry

from dataplane.app import Gateway, GatewayLimits
from dataplane.call import Attempt, Outcome, Plan
from dataplane.credentials.keeper import CredentialKeeper
from dataplane.dialects.catalog import CATALOG
from dataplane.ingress.openai import BodyLimits
from dataplane.ingress.presence import ClientPresence
from dataplane.limits.admission import Admits
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.desk import LeaseDesk
from dataplane.pipeline import Pipeline
from dataplane.routing.planner import plan
from dataplane.rules import RuleIndex
from dataplane.snapshot import KeyEntry, Route, Secret, Snapshot, Strategy, Target, Upstream, VirtualKey
from dataplane.telemetry import Telemetry
from dataplane.upstream.dispatcher import Dispatcher
from dataplane.upstream.transport import Transport
from tollway.kernel.keys import key_digest, make_virtual_key
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.pricing import Price, Rate
from tollway.kernel.usage import Meter

PEPPER = b"p" * 32
UPSTREAM_SECRET = "sk-upstream-secret-canary"


@dataclass(slots=True)
class ListSink:
    """Keeps what is emitted."""

    outcomes: list[Outcome] = field(default_factory=list)
    is_full: bool = False

    def begin(self, outcome: Outcome, attempt: Attempt) -> None:
        assert attempt not in outcome.attempts, "an attempt is written down before it is one of the call"

    def emit(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def has_room(self, in_flight_calls: int) -> bool:
        return not self.is_full


@dataclass(slots=True)
class FixedSource:
    """A configuration that only the test changes."""

    current: Snapshot | None


def upstream(name: str, base_url: str, *models: str) -> Upstream:
    admitted = re.compile("|".join(re.escape(model) for model in models)) if models else None
    return Upstream(
        f"upstreams/{name}", name, "openai", base_url, "", {}, models, admitted, {}, Secret(UPSTREAM_SECRET)
    )


def route(model: str, *targets: Target, strategy: Strategy = Strategy.PRIORITY, max_attempts: int = 3) -> Route:
    return Route(f"routes/{model}", model, strategy, targets, max_attempts)


def virtual_key(allowed: str = "", **fields: object) -> VirtualKey:
    pattern = re.compile(allowed) if allowed else None
    key = VirtualKey("teams/a/keys/k", "teams/a", "teams/a", pattern, {}, 0, False)
    return replace(key, **fields)  # type: ignore[arg-type]


def snapshot(upstreams: list[Upstream], routes: list[Route], keys: dict[str, VirtualKey]) -> Snapshot:
    """A snapshot in which every model costs 1 USD per million tokens in, 2 out."""
    rates = (Rate(Meter.INPUT, 10**9), Rate(Meter.OUTPUT, 2 * 10**9))
    return Snapshot(
        epoch="e",
        revision=1,
        pepper=PEPPER,
        keys={key_digest(PEPPER, secret): KeyEntry(key, 0) for secret, key in keys.items()},
        routes={r.model: r for r in routes},
        upstreams={u.id: u for u in upstreams},
        prices=PriceIndex((Price("prices/all", 1, "", re.compile(".*"), rates),)),
    )


@dataclass(slots=True)
class RunningGateway:
    """A gateway that listens; `key` is accepted by it."""

    url: str
    key: str
    gateway: Gateway
    sink: ListSink
    source: FixedSource
    presence: ClientPresence
    desk: LeaseDesk
    counts: AdmissionCounts
    admission: Admits
    stop: Callable[[], Awaitable[None]]

    @staticmethod
    def plan_of(outcome: Outcome) -> Plan:
        """The way that the call of `outcome` went."""
        return plan(outcome.call, outcome.principal, lambda: 0.5)

    async def outcome(self) -> Outcome:
        """The next call that has been settled, within 5 s."""
        async with asyncio.timeout(5):
            while not self.sink.outcomes:
                await asyncio.sleep(0.005)
        return self.sink.outcomes.pop(0)


async def start_gateway(
    upstreams: list[Upstream],
    routes: list[Route],
    *,
    key: VirtualKey | None = None,
    max_body_bytes: int = 1 << 20,
    limits: RuleIndex | None = None,
    desk: LeaseDesk | None = None,
    send_buffer_bytes: int = 0,
) -> RunningGateway:
    """Starts a gateway that sends to `upstreams` under the rules `limits`; `stop()` must be awaited.

    `send_buffer_bytes` is how much the kernel takes of an answer that its client does not read, where not as it likes.
    """
    secret = make_virtual_key(secrets.randbelow)
    laid_down = snapshot(upstreams, routes, {secret: key or virtual_key()})
    source = FixedSource(replace(laid_down, limits=limits or RuleIndex()))
    desk = desk or LeaseDesk()
    transport, presence, sink = Transport(), ClientPresence(), ListSink()
    telemetry = Telemetry(CollectorRegistry())
    credentials = CredentialKeeper(source, CATALOG.providers, interval_s=0.01)
    dispatcher = Dispatcher(transport, CATALOG, credentials, lambda low, high: low)
    counts = AdmissionCounts(telemetry)
    admission = Admits(desk, counts)
    pipeline = Pipeline(admission, dispatcher, presence, sink, telemetry, lambda: 0.5)
    bounds = GatewayLimits(BodyLimits(max_body_bytes, 1.0), max_in_flight=64)
    gateway = Gateway(source, pipeline, sink, telemetry, bounds, CATALOG.formats)
    server = web.Server(gateway.handle, handler_cancellation=False, auto_decompress=False)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.socket()
    if send_buffer_bytes:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    listener.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    sweep = asyncio.create_task(presence.run())
    keeping = asyncio.create_task(credentials.run())

    async def stop() -> None:
        sweep.cancel()
        keeping.cancel()
        await runner.cleanup()
        transport.close()

    host, port = runner.addresses[0][:2]
    return RunningGateway(
        f"http://{host}:{port}", secret, gateway, sink, source, presence, desk, counts, admission, stop
    )
