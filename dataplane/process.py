"""One data plane process: everything built by name, run together, drained in order."""

import asyncio
import logging
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client import CollectorRegistry

from dataplane.api_server import ApiServer
from dataplane.app import Gateway, GatewayLimits
from dataplane.config.applier import ConfigApplier
from dataplane.config.endpoints import FeedTls
from dataplane.config.grpc_source import FeedSettings, GrpcSource
from dataplane.config.holder import SnapshotHolder
from dataplane.config.session import FeedClient
from dataplane.credentials.keeper import CredentialKeeper
from dataplane.dialects.catalog import CATALOG
from dataplane.drain import drain
from dataplane.exposition import metrics_listener
from dataplane.ingress.openai import BodyLimits
from dataplane.ingress.presence import ClientPresence
from dataplane.limits.admission import Admits
from dataplane.limits.client import LeaseSource, QuotaSettings
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.stream import QuotaClient
from dataplane.listeners import ServerCertificate, where
from dataplane.metering.emitter import SpoolBounds
from dataplane.metering.fill import FillAlarm
from dataplane.metering.jetstream import JetStreamLink
from dataplane.metering.publisher import Publisher
from dataplane.metering.room import UsageRoom
from dataplane.metering.spool.folders import SpoolError
from dataplane.pipeline import Pipeline
from dataplane.settings import API_TLS_CERT, CONFIG_FILE, SPOOL_DIR, DrainSettings, Settings
from dataplane.settings import FeedSettings as FeedVariables
from dataplane.snapshot import Secret
from dataplane.telemetry import LeaseReport, Telemetry, UsageReport
from dataplane.upstream.dispatcher import Dispatcher
from dataplane.upstream.transport import Transport
from tollway.kernel.subjects import usage_subject
from tollway.kernel.usage import BOOT_ID_BITS

if TYPE_CHECKING:
    from dataplane.tracing import Tracing

FLUSH_TIMEOUT_S: Final = 10.0
BOOKED_TIMEOUT_S: Final = 2.0
LEASES_TIMEOUT_S: Final = 2.0
_CANCEL_AGAIN_S: Final = 0.5
_TRACING_TIMEOUT_S: Final = 5.0
_GAUGES_INTERVAL_S: Final = 0.25
_PEPPER_BYTES: Final = 32
_PACKAGE: Final = "tollway"

logger = logging.getLogger(__name__)
Run: TypeAlias = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands: its node name, what it listens on, and who is told how it is.

    metrics_listener: None where another process serves the metrics.
    report_ready: called with the state of readiness now and then, and whenever it changes.
    drain_bounds: asked when the process is told to stop.
    """

    node: str
    api_listener: socket.socket
    metrics_listener: socket.socket | None
    registry: CollectorRegistry
    report_ready: Callable[[bool], None]
    drain_bounds: Callable[[], DrainSettings]


class DataPlane:
    """The parts of a process, built and connected. Needs a running event loop."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.settings = settings
        self.place = place
        self.boot_id = 1 + secrets.randbelow((1 << BOOT_ID_BITS) - 1)
        self.version = _version()
        self.certificate = None if settings.api.tls is None else ServerCertificate(settings.api.tls, API_TLS_CERT)
        self.tracing = _build_tracing(settings, place.node, self.version)
        self.telemetry = Telemetry(place.registry, self.tracing)
        self.holder = SnapshotHolder(time.monotonic)
        self.applier = ConfigApplier(self.holder, os.environ)
        self.usage = _build_usage(settings, self.boot_id)
        self.emitter = self.usage.emitter
        self.link = JetStreamLink(settings.usage.nats_urls, usage_subject(place.node), place.node, random.uniform)
        self.publisher = Publisher(self.usage.outbox, self.link, random.uniform)
        self.transport = Transport()
        self.credentials = CredentialKeeper(self.holder, CATALOG.providers)
        self.presence = ClientPresence()
        self.desk = LeaseDesk()
        self.leases = self._lease_source()
        self.admission_counts = AdmissionCounts(self.telemetry)
        admission = Admits(self.desk, self.admission_counts)
        dispatcher = Dispatcher(self.transport, CATALOG, self.credentials, random.uniform)
        pipeline = Pipeline(admission, dispatcher, self.presence, self.emitter, self.telemetry, random.random)
        limits = GatewayLimits(
            BodyLimits(settings.api.max_body_bytes, settings.api.body_timeout_s), settings.api.max_in_flight
        )
        self.gateway = Gateway(self.holder, pipeline, self.emitter, self.telemetry, limits, CATALOG.formats)
        self.gateway.is_preparing = True

    async def background(self) -> dict[str, Run]:
        """What runs beside the serving of calls, by name. Raises SettingsError for manifests that are bad at start."""
        runs: dict[str, Run] = {
            "config": await self._config_source(),
            "config-secrets": self.applier.keep_secrets_fresh,
            "credentials": self.credentials.run,
            "preparation": self._prepare,
            "presence": self.presence.run,
            "usage-custody": self.usage.custody.run,
            "usage-spool": self.usage.custody.keep_up,
            "report": self._report,
        }
        if self.leases is not None:
            runs["leases"] = self.leases.run
        if self.settings.usage.nats_urls:
            runs |= {"usage-link": self.link.run, "usage-publisher": self.publisher.run}
        if self.settings.usage.sync_s:
            runs["usage-sync"] = self._sync_spool
        if self.certificate is not None:
            runs["certificate"] = self.certificate.keep_fresh
        return runs

    async def _prepare(self) -> None:
        await self.credentials.wait_prepared()
        self.gateway.is_preparing = False

    async def _config_source(self) -> Run:
        chosen = self.settings.config
        if isinstance(chosen, FeedVariables):
            return GrpcSource(self._feed_settings(chosen), self.applier, self.holder).run
        return await self._file_source(chosen.path)

    async def _file_source(self, path: Path) -> Run:
        # Manifests are admin messages in YAML, whose modules are a tenth of what a data plane of a feed would import.
        from dataplane.config.documents import ConfigFileError
        from dataplane.config.file_source import FileSource

        source = FileSource(path, self.applier, self.holder, os.environ, secrets.token_bytes(_PEPPER_BYTES))
        try:
            await source.load()
        except ConfigFileError as error:
            CONFIG_FILE.fail(str(error))
        return source.run

    def _feed_settings(self, chosen: FeedVariables) -> FeedSettings:
        client = FeedClient(
            Secret(chosen.token.reveal()), self.place.node, self.boot_id, self.version, self.usage.custody
        )
        return FeedSettings(tuple(str(address) for address in chosen.addresses), client, _feed_tls(chosen))

    def _lease_source(self) -> LeaseSource | None:
        """None in file mode, which has no rules."""
        chosen = self.settings.config
        if not isinstance(chosen, FeedVariables):
            return None
        client = QuotaClient(Secret(chosen.token.reveal()), self.place.node, self.boot_id, self.version)
        addresses = tuple(str(address) for address in chosen.addresses)
        return LeaseSource(QuotaSettings(addresses, client, _feed_tls(chosen)), self.desk, self.holder)

    async def _report(self) -> None:
        """Keeps the gauges and the word on readiness up to date."""
        alarm = FillAlarm()
        while True:
            self.telemetry.report_config(self.holder.current, self.holder.age_s)
            usage = self._usage_report()
            self.telemetry.report_usage(usage)
            if self.leases is not None:
                self.telemetry.report_leases(self._lease_report())
            alarm.look(usage.spool_fill_ratio)
            self.place.report_ready(self.gateway.is_ready)
            await asyncio.sleep(_GAUGES_INTERVAL_S)

    def _usage_report(self) -> UsageReport:
        custody = self.usage.custody
        return UsageReport(
            unpublished_events=self.emitter.unpublished_events,
            unacknowledged_events=custody.unacknowledged_events,
            spool_bytes=custody.spool_bytes,
            adopted_spools=custody.adopted,
            is_connected=self.link.is_connected,
            published_events=self.usage.outbox.delivered_events,
            retries=self.publisher.retries,
            resent_events=custody.resent_events,
            crash_estimates=custody.crash_estimates,
            spool_failures=self.emitter.producer.journal.failures,
            spool_damages=custody.damages,
            spool_fill_ratio=self.emitter.fill_ratio,
            unreadable_events=self.usage.outbox.unreadable_events,
        )

    def _lease_report(self) -> LeaseReport:
        desk, table = self.desk, self.desk.table
        return LeaseReport(
            is_connected=table.is_connected,
            asks=table.exchange.asks,
            waits=desk.waits,
            waited_s=desk.waited_s,
            admitted_calls=self.admission_counts.admitted,
            waiting_calls=table.waiting,
            running_calls=self.admission_counts.running,
            buckets=len(table.holdings),
        )

    async def _sync_spool(self) -> None:
        """The disk keeps what was written up to an interval and the length of a sync ago.

        A failure is told and counted; what it was about may be lost if the machine stops, though never by the process.
        """
        journal = self.emitter.producer.journal
        while True:
            await asyncio.sleep(self.settings.usage.sync_s)
            try:
                await asyncio.to_thread(journal.sync)
            except OSError as error:
                journal.note_failure(error)


async def serve(settings: Settings, place: Place) -> int:
    """Run a data plane until SIGTERM or SIGINT and drain it; the exit code.

    Raises SettingsError for a file that is bad, and ExceptionGroup when a part of it fails.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        plane = DataPlane(settings, place)
        stack.push_async_callback(_close, plane)
        background = await plane.background()
        if place.metrics_listener is not None:
            listener = metrics_listener(place.metrics_listener, place.registry, lambda: plane.gateway.is_ready)
            await stack.enter_async_context(listener)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(), name=name) for name, run in background.items()]
            await _serve_until(stop, plane)
            await _cancel(tasks)
    return 0


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels until all have ended: nats-py swallows a cancellation that meets it while it flushes or connects."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


async def _serve_until(stop: asyncio.Event, plane: DataPlane) -> None:
    """Take calls until `stop`, drain, and hand usage over."""
    context = None if plane.certificate is None else plane.certificate.context
    server = ApiServer(plane.gateway.handle, plane.place.api_listener, context)
    try:
        await server.start()
        logger.info("serving node=%s address=%s", plane.place.node, where(plane.place.api_listener))
        await stop.wait()
        await drain(plane.gateway, plane.presence, server, plane.place.drain_bounds())
    finally:
        await server.close()
    await _hand_over(plane)


async def _hand_over(plane: DataPlane) -> None:
    """Leases go back. Usage goes to NATS and, while there is time, into the ledger; the rest stays in the spool."""
    if plane.leases is not None:
        await plane.leases.give_back(LEASES_TIMEOUT_S)
    if plane.settings.usage.nats_urls:
        unpublished = await plane.emitter.flush(FLUSH_TIMEOUT_S)
        if not unpublished:
            await plane.usage.custody.wait_booked(BOOKED_TIMEOUT_S)
    left = plane.usage.close()
    if left:
        folder = plane.settings.usage.spool_dir
        logger.warning("usage events stay in the spool for the next start events=%d folder=%s", left, folder)
    logger.info("stopped node=%s usage_events=%d", plane.place.node, plane.usage.outbox.delivered_events)


async def _close(plane: DataPlane) -> None:
    plane.transport.close()
    if plane.tracing is not None:
        is_exported = await asyncio.to_thread(plane.tracing.close, _TRACING_TIMEOUT_S)
        if not is_exported:
            logger.warning("spans are lost, for the collector did not take them in time")


def _feed_tls(chosen: FeedVariables) -> FeedTls | None:
    if chosen.tls is None:
        return None
    own = chosen.tls.client
    return FeedTls(chosen.tls.ca, None if own is None else own.cert, None if own is None else own.key)


def _build_usage(settings: Settings, boot_id: int) -> UsageRoom:
    """Raises SettingsError."""
    bounds = SpoolBounds(size_bytes=settings.usage.spool_max_bytes)
    has_ledger = isinstance(settings.config, FeedVariables)
    is_synced = settings.usage.sync_s > 0
    try:
        return UsageRoom.build(
            settings.usage.spool_dir, boot_id, has_ledger=has_ledger, bounds=bounds, is_synced=is_synced
        )
    except SpoolError as error:
        SPOOL_DIR.fail(str(error))


def _build_tracing(settings: Settings, node: str, build: str) -> "Tracing | None":
    if not settings.is_tracing:
        return None
    from dataplane.tracing import build_tracing

    return build_tracing(node=node, version=build, scheme="http" if settings.api.tls is None else "https")


def _version() -> str:
    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        return "0"
