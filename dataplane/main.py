"""The data plane's command, `tollway-dataplane`: settings, listeners, then one process or several workers."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Coroutine

# gRPC reads it when it is imported; its own lines are not in the form of the log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import uvloop
from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    disable_created_metrics,
)

from dataplane.listeners import ListenFailed, open_listener
from dataplane.process import Place, serve
from dataplane.settings import HELP, LISTEN, METRICS_LISTEN, Settings
from dataplane.workers import supervise
from tollway.logs import start_logging
from tollway.settings import SettingsError, settings_or_exit

# A call makes a few hundred objects and hardly a cycle: the default of 700 looks for cycles at every other call.
_GC_THRESHOLD = 20_000
_EXIT_FAILED = 1
_EXIT_SETTINGS = 2

logger = logging.getLogger(__name__)


def main() -> None:
    """Exits 0 after a clean stop, 1 when something failed or usage was lost, 2 for a bad setting."""
    settings = settings_or_exit(HELP, Settings.from_environment)
    start_logging(settings.log_level)
    raise SystemExit(run(_serve_alone(settings) if settings.workers == 1 else supervise(settings)))


def run(service: Coroutine[None, None, int]) -> int:
    """Run `service` to its end on uvloop; its exit code, or that of the reason why it could not go on."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(service)
        except SettingsError as error:
            sys.stderr.write(f"{error}\n")
            return _EXIT_SETTINGS
        except ListenFailed as error:
            sys.stderr.write(f"{error}\n")
            return _EXIT_FAILED
        except ExceptionGroup as failures:
            logger.critical("a part of the data plane failed, so it stops", exc_info=failures)
            return _EXIT_FAILED


async def _serve_alone(settings: Settings) -> int:
    registry = CollectorRegistry()
    for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
        registry.register(collector)
    place = Place(
        node=settings.node,
        api_listener=open_listener(settings.api.listen, LISTEN),
        metrics_listener=open_listener(settings.metrics_listen, METRICS_LISTEN),
        registry=registry,
        report_ready=lambda is_ready: None,
        drain_bounds=lambda: settings.drain,
    )
    return await serve(settings, place)


if __name__ == "__main__":
    main()
