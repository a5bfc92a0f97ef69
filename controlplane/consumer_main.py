"""`tollway-consumer`: the process that books usage events."""

import asyncio
import gc
import logging
import signal
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from controlplane.consumer_settings import HELP, ConsumerSettings
from controlplane.db.engine import Database
from controlplane.errors import DatabaseRefused, Unavailable
from controlplane.ledger.booking import Bookkeeper
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.connection import connector
from controlplane.ledger.consumer import BOOKERS, DATABASE, NATS, ConsumerParts, LedgerConsumer
from controlplane.ledger.folding.folder import DayFolder
from controlplane.ledger.folding.repository import FoldRepository
from controlplane.ledger.keeper import PartitionKeeper
from controlplane.ledger.metrics import ConsumerMetrics
from controlplane.ledger.producers.repository import ProducerProgress
from controlplane.ledger.readiness import ConsumerReadiness
from controlplane.ledger.repository import LedgerRepository, PartitionRepository
from controlplane.ledger.retention.repository import RetentionRepository
from controlplane.ledger.retention.retirement import DayRetirement
from controlplane.ledger.state.repository import StateRepository
from controlplane.ledger.stream import StreamSettings
from controlplane.ledger.tap.copier import TapCopier
from controlplane.ledger.tap.replayer import TapReplayer
from controlplane.ledger.tap.repository import ReplayRepository
from controlplane.ledger.tap.stream import TapSettings
from controlplane.ledger.upkeep import LedgerUpkeep, UpkeepParts
from controlplane.migrations import SchemaMismatch, require_current_schema
from controlplane.quota.checks.repository import BudgetCheckRepository
from controlplane.settings import DATABASE_URL, METRICS_LISTEN
from controlplane.telemetry import build_registry, build_tracing, software_version
from controlplane.transport.probe_app import probe_app
from controlplane.transport.readiness import Readiness
from tollway.kernel.subjects import USAGE_STREAM
from tollway.logs import start_logging
from tollway.settings import settings_or_exit

if TYPE_CHECKING:
    from controlplane.ledger.tracing import BookingTracer
    from controlplane.telemetry import Tracing

SERVICE = "tollway-consumer"
SCHEMA_INTERVAL_S = 0.5
PARTITIONS_INTERVAL_S = 5.0
FOLDING_INTERVAL_S = 60.0
# A day of a large installation is folded in statements that take longer than any other.
FOLDING_TIMEOUT_S = 1_800
_SPARE_CONNECTIONS = 5
_COLLECT_AFTER_OBJECTS = 100_000

_log = logging.getLogger("controlplane.consumer_main")


def main() -> None:
    settings = settings_or_exit(HELP, ConsumerSettings.from_environment)
    # Booking makes and drops many small objects that hold no cycles: looking for some costs a third of its time.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
    start_logging(settings.log_level)
    raise SystemExit(uvloop.run(run(settings)))


async def run(settings: ConsumerSettings) -> int:
    """The life of the process; returns its exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = build_registry()
    readiness = Readiness()
    runner = web.AppRunner(probe_app(readiness, registry), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.metrics_listen.host, settings.metrics_listen.port).start()
    except OSError as error:
        sys.stderr.write(f"{METRICS_LISTEN.name}: cannot listen on {settings.metrics_listen}: {error.strerror}\n")
        await runner.cleanup()
        return 1
    database = Database(settings.database_url, application_name=SERVICE, pool_size=BOOKERS + _SPARE_CONNECTIONS)
    patient = Database(
        settings.database_url, application_name=SERVICE, pool_size=1, statement_timeout_s=FOLDING_TIMEOUT_S
    )
    tracing = build_tracing(service=SERVICE, version=software_version()) if settings.is_tracing else None
    try:
        await _work(settings, _Databases(database, patient), readiness, registry, tracing, stop)
    except DatabaseRefused as error:
        sys.stderr.write(f"{DATABASE_URL.name}: {error.detail}; correct it\n")
        return 1
    finally:
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
        await database.close()
        await patient.close()
        await runner.cleanup()
    _log.info("stopped")
    return 0


@dataclass(frozen=True, slots=True)
class _Databases:
    """The same one twice: for bookings, and for what may take minutes."""

    prompt: Database
    patient: Database


async def _work(
    settings: ConsumerSettings,
    databases: _Databases,
    readiness: Readiness,
    registry: CollectorRegistry,
    tracing: "Tracing | None",
    stop: asyncio.Event,
) -> None:
    subjects = ConsumerReadiness(readiness.set_reason, DATABASE, NATS)
    metrics = ConsumerMetrics(registry)
    database = databases.prompt
    keeper = PartitionKeeper(PartitionRepository(database), _now)
    folder = DayFolder(FoldRepository(databases.patient), _now)
    if not await _schema_is_current(database, subjects, stop):
        return
    connect, bookkeeper = connector(settings.nats_urls, SERVICE), Bookkeeper(LedgerRepository(database), keeper)
    consumer = LedgerConsumer(
        ConsumerParts(
            connect=connect,
            stream=StreamSettings(settings.stream_max_bytes, settings.stream_replicas),
            bookkeeper=bookkeeper,
            readiness=subjects,
            metrics=metrics,
            progress=ProducerProgress(database, USAGE_STREAM),
            tap=TapCopier(_tap_settings(settings), metrics.lost_copies),
            tracer=_booking_tracer(tracing),
        ),
        stop,
    )
    async with asyncio.TaskGroup() as tasks:
        replayer = TapReplayer(connect, ReplayRepository(database), bookkeeper, uuid.uuid4())
        besides = [
            tasks.create_task(_keep_partitions(keeper, subjects, metrics), name="keep partitions"),
            tasks.create_task(_fold_days(folder, metrics), name="fold days"),
            tasks.create_task(_upkeep(settings, database, metrics).run(), name="keep up the ledger"),
            tasks.create_task(replayer.run(), name="replay the tap"),
        ]
        await tasks.create_task(consumer.run(), name="consume usage events")
        readiness.set_reason("stopping")
        for task in besides:
            task.cancel()


def _upkeep(settings: ConsumerSettings, database: Database, metrics: ConsumerMetrics) -> LedgerUpkeep:
    retirement = DayRetirement(RetentionRepository(database), settings.retention_days, _now)
    days, budgets = DayCheckRepository(database), BudgetCheckRepository(database)
    return LedgerUpkeep(UpkeepParts(StateRepository(database), days, budgets, retirement, metrics, _now))


def _tap_settings(settings: ConsumerSettings) -> TapSettings:
    return TapSettings(settings.tap_days, settings.tap_max_bytes, settings.stream_replicas)


def _now() -> datetime:
    return datetime.now(UTC)


async def _schema_is_current(database: Database, readiness: ConsumerReadiness, stop: asyncio.Event) -> bool:
    """Waits for it; False when told to stop before. Raises DatabaseRefused."""
    while not stop.is_set():
        try:
            await require_current_schema(database)
        except SchemaMismatch as error:
            readiness.report(DATABASE, str(error))
        except DatabaseRefused:
            raise
        except Unavailable as error:
            readiness.report(DATABASE, f"{error.message} database={database.place}")
        else:
            readiness.clear(DATABASE)
            return True
        await _wait(stop, SCHEMA_INTERVAL_S)
    return False


async def _keep_partitions(keeper: PartitionKeeper, readiness: ConsumerReadiness, metrics: ConsumerMetrics) -> None:
    """Also what finds out, while there is nothing to book, whether the database is there."""
    while True:
        try:
            metrics.set_strays(await keeper.keep_ahead())
            readiness.clear(DATABASE)
        except Unavailable as error:
            readiness.report(DATABASE, error.message)
        await asyncio.sleep(PARTITIONS_INTERVAL_S)


async def _fold_days(folder: DayFolder, metrics: ConsumerMetrics) -> None:
    """Reports are right without it, only slower."""
    while True:
        try:
            metrics.folded(await folder.fold_all())
            metrics.set_metadata_values(await folder.count_values())
        except Unavailable as error:
            _log.warning("days not folded reason=%s", error.message)
        await asyncio.sleep(FOLDING_INTERVAL_S)


def _booking_tracer(tracing: "Tracing | None") -> "BookingTracer | None":
    if tracing is None:
        return None
    from controlplane.ledger.tracing import BookingTracer

    return BookingTracer(tracing.tracer)


async def _wait(stop: asyncio.Event, duration_s: float) -> None:
    try:
        async with asyncio.timeout(duration_s):
            await stop.wait()
    except TimeoutError:
        return


if __name__ == "__main__":
    main()
