"""`tollway-controlplane`: the process that owns the configuration; the composition root of the control plane."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

# gRPC reads it when it is imported; its own lines are not in the form of the log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import uvloop
from prometheus_client import CollectorRegistry

from controlplane.admin import ConfigRooms, ConfigSecrets, open_config_rooms
from controlplane.db.engine import Database
from controlplane.discovery.server import SERVICE_NAME as FEED_SERVICE
from controlplane.errors import DatabaseRefused, Unavailable
from controlplane.ledger.api import ledger_handlers
from controlplane.migrations import SchemaMismatch, require_current_schema
from controlplane.prices.book import keep_retiring
from controlplane.quota.alerts.room import AlertRoom
from controlplane.quota.seeder import SEEDING_TIMEOUT_S, SEEDS_AT_ONCE
from controlplane.quota.server import SERVICE_NAME as QUOTA_SERVICE
from controlplane.secrets.checks import KeyMismatch
from controlplane.settings import ADMIN_LISTEN, DATABASE_URL, GRPC_LISTEN, HELP, METRICS_LISTEN, TLS_CERT, Settings
from controlplane.telemetry import Telemetry, Tracing, build_registry, build_tracing, software_version
from controlplane.transport.authentication import TokenAuthenticator
from controlplane.transport.comments import admin_comments
from controlplane.transport.gate import AdminGate
from controlplane.transport.grpc_app import SERVER_OPTIONS, ServiceHealth, add_admin_services, add_reflection
from controlplane.transport.listeners import HttpListener, ListenError, listen_grpc, listen_http
from controlplane.transport.methods import BoundMethod, admin_methods, bind
from controlplane.transport.openapi import openapi_document
from controlplane.transport.probe_app import probe_app
from controlplane.transport.readiness import Readiness
from controlplane.transport.rest_app import rest_app
from controlplane.transport.tls import Certificates, TlsError
from controlplane.transport.webhooks import WebhookClient
from tollway.logs import start_logging
from tollway.settings import settings_or_exit

SERVICE = "tollway-controlplane"
_STREAMS_END_S = 2.0
_RETRY_S = 0.2
_log = logging.getLogger("tollway.controlplane")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a control plane is made of, built and not yet started."""

    registry: CollectorRegistry
    readiness: Readiness
    tracing: Tracing | None
    telemetry: Telemetry
    certificates: Certificates | None
    database: Database
    patient: Database
    rooms: ConfigRooms
    alerts: AlertRoom
    methods: Sequence[BoundMethod]
    gate: AdminGate


def main() -> None:
    settings = settings_or_exit(HELP, Settings.from_environment)
    start_logging(settings.log_level)
    try:
        code = uvloop.run(ControlPlane(settings, build(settings, os.environ)).run())
    except TlsError as error:
        sys.stderr.write(f"{TLS_CERT.name}: {error}\n")
        raise SystemExit(2) from None
    raise SystemExit(code)


def build(settings: Settings, environ: Mapping[str, str]) -> Parts:
    """Raises TlsError when the certificate files cannot be used, BindingError when a method has no handler."""
    readiness, registry = Readiness(), build_registry()
    tracing = build_tracing(service=SERVICE, version=software_version()) if settings.is_tracing else None
    telemetry = Telemetry(registry, tracing)
    certificates = None if settings.listen.tls is None else Certificates(settings.listen.tls)
    database = Database(settings.database_url, application_name=SERVICE)
    patient = Database(
        settings.database_url,
        application_name=SERVICE,
        pool_size=SEEDS_AT_ONCE,
        statement_timeout_s=SEEDING_TIMEOUT_S,
    )
    secrets = ConfigSecrets(
        encryption_key=settings.secrets.encryption_key.reveal(),
        key_pepper=settings.secrets.key_pepper.reveal(),
        plane_token=settings.secrets.plane_token.reveal(),
        environ=environ,
    )
    rooms = open_config_rooms(
        database,
        secrets,
        patient=patient,
        notify=settings.is_notifying,
        observe_applied_s=telemetry.observe_feed_applied,
        registry=registry,
    )
    alerts = AlertRoom(rooms.config, environ, WebhookClient().post, lambda state: telemetry.observe_alert(state.word))
    telemetry.watch_feed(lambda: len(rooms.fleet), lambda: rooms.feed.revision)
    telemetry.watch_readiness(lambda: readiness.is_ready)
    return Parts(
        registry=registry,
        readiness=readiness,
        tracing=tracing,
        telemetry=telemetry,
        certificates=certificates,
        database=database,
        patient=patient,
        rooms=rooms,
        alerts=alerts,
        methods=bind(admin_methods(), {**rooms.handlers, **ledger_handlers(database), **alerts.handlers}),
        gate=AdminGate(TokenAuthenticator(settings.secrets.admin_token), readiness, telemetry),
    )


@dataclass(frozen=True, slots=True)
class Listeners:
    """The open sockets, and the health that gRPC clients are told."""

    probes: HttpListener
    rest: HttpListener
    grpc: grpc.aio.Server
    health: ServiceHealth


class ControlPlane:
    """The life of one process."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._health_due = asyncio.Event()

    async def run(self) -> int:
        """Serves until SIGTERM or SIGINT, a second one of which ends the drain delay; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        failures: list[str] = []
        try:
            async with AsyncExitStack() as closing:
                closing.push_async_callback(self._parts.database.close)
                closing.push_async_callback(self._parts.patient.close)
                if self._parts.tracing is not None:
                    closing.push_async_callback(asyncio.to_thread, self._parts.tracing.close)
                await self._serve(await self._listen(closing))
        except* (ListenError, KeyMismatch, DatabaseRefused) as group:
            failures += _lines(group)
        if failures:
            sys.stderr.write("".join(f"{line}\n" for line in failures))
            return 1
        _log.info("stopped")
        return 0

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _listen(self, closing: AsyncExitStack) -> Listeners:
        """Opens all listeners; what is asked of them before the process is ready is answered by why it is not."""
        parts, listen = self._parts, self._settings.listen
        timeout_s = self._settings.drain.timeout_s
        probes = await listen_http(probe_app(parts.readiness, parts.registry), METRICS_LISTEN, listen.metrics)
        closing.push_async_callback(probes.close)
        app = rest_app(parts.methods, parts.gate, parts.readiness, _document)
        context = None if parts.certificates is None else parts.certificates.rest_context
        rest = await listen_http(app, ADMIN_LISTEN, listen.admin, tls=context, shutdown_timeout_s=timeout_s)
        closing.push_async_callback(rest.close)
        server = grpc.aio.server(options=SERVER_OPTIONS)
        closing.push_async_callback(server.stop, 0)
        services = [*add_admin_services(server, parts.methods, parts.gate), FEED_SERVICE, QUOTA_SERVICE]
        parts.rooms.server.register(server)
        parts.rooms.quota.register(server)
        add_reflection(server, services)
        health = ServiceHealth(server, services, parts.readiness)
        credentials = None if parts.certificates is None else parts.certificates.grpc_credentials()
        grpc_address = listen_grpc(server, GRPC_LISTEN, listen.grpc, credentials)
        await health.publish()
        await server.start()
        scheme = "plaintext" if parts.certificates is None else "tls"
        _log.info(
            "listening admin=%s grpc=%s transport=%s metrics=%s", rest.address, grpc_address, scheme, probes.address
        )
        return Listeners(probes, rest, server, health)

    async def _serve(self, listeners: Listeners) -> None:
        """Runs everything until told to stop; an error of any task ends them all and is raised."""
        parts = self._parts
        parts.readiness.listen(self._health_due.set)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._publish_health(listeners.health), name="health"),
                tasks.create_task(self._serve_feed(), name="config"),
            ]
            if parts.certificates is not None:
                running.append(tasks.create_task(parts.certificates.watch(), name="certificates"))
            await self._stop.wait()
            await self._drain(listeners)
            for task in running:
                task.cancel()

    async def _serve_feed(self) -> None:
        """Waits for the database, then keeps the feed and the fleet; the process is ready once the feed is loaded."""
        parts = self._parts
        await self._until_available(self._prepare)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(parts.rooms.feed.run(), name="feed")
            tasks.create_task(parts.rooms.fleet.run(), name="fleet")
            tasks.create_task(parts.rooms.server.run(), name="usage acknowledgement")
            tasks.create_task(keep_retiring(parts.rooms.config), name="superseded price books")
            tasks.create_task(parts.rooms.rerating.run(), name="re-rating")
            tasks.create_task(parts.alerts.run(), name="budget alerts")
            tasks.create_task(parts.rooms.quota.run(), name="quota")
            tasks.create_task(self._reap(), name="reap leases")
            await parts.rooms.feed.wait_loaded()
            if not self._stop.is_set():
                parts.readiness.set_ready()
                _log.info("ready revision=%d", parts.rooms.feed.revision)

    async def _reap(self) -> None:
        """Not before the rules are known: what is enforced is not given up."""
        await self._parts.rooms.feed.wait_loaded()
        await self._parts.rooms.reaper.run()

    async def _prepare(self) -> None:
        await require_current_schema(self._parts.database)
        await self._parts.rooms.prepare()

    async def _until_available(self, attempt: Callable[[], Awaitable[None]]) -> None:
        readiness = self._parts.readiness
        while True:
            try:
                return await attempt()
            except DatabaseRefused:
                raise
            except (SchemaMismatch, Unavailable) as error:
                reason = f"{error} database={self._parts.database.place}"
                if reason != readiness.reason:
                    _log.warning("waiting: %s", reason)
                    readiness.set_reason(reason)
            await asyncio.sleep(_RETRY_S)

    async def _publish_health(self, health: ServiceHealth) -> None:
        while True:
            await self._health_due.wait()
            self._health_due.clear()
            await health.publish()

    async def _drain(self, listeners: Listeners) -> None:
        """Not ready at once; then, after the delay, no new calls, and running ones get their time to end."""
        drain = self._settings.drain
        self._parts.readiness.set_reason("stopping")
        _log.info("stopping delay_s=%g timeout_s=%g", drain.delay_s, drain.timeout_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(drain.delay_s):
                await self._hurry.wait()
        self._parts.rooms.server.close()
        self._parts.rooms.quota.close()
        # A stream that the stop of its server meets while it ends may show an internal error instead of its own end.
        await asyncio.gather(
            self._parts.rooms.server.wait_ended(_STREAMS_END_S), self._parts.rooms.quota.wait_ended(_STREAMS_END_S)
        )
        await asyncio.gather(listeners.grpc.stop(drain.timeout_s), listeners.rest.close())


def _document() -> bytes:
    return openapi_document(admin_methods(), admin_comments())


def _lines(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [line for inner in error.exceptions for line in _lines(inner)]
    if isinstance(error, DatabaseRefused):
        return [f"{DATABASE_URL.name}: {error.detail}; correct it"]
    return [str(error)]


if __name__ == "__main__":
    main()
