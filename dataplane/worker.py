"""One of several data plane processes that share a port; started by `dataplane.workers`, never by hand.

Arguments: its number, the descriptor of the API's listening socket, that of the pipe on which it tells whether it is
ready, and its parent's process id.
"""

import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry

from dataplane.main import run
from dataplane.process import Place, serve
from dataplane.settings import HELP, DrainSettings, Settings
from dataplane.workers import NOT_READY, READY
from tollway.logs import start_logging
from tollway.settings import settings_or_exit

_PR_SET_PDEATHSIG: Final = 1
_ORPHAN_BOUNDS: Final = DrainSettings(delay_s=0.0, timeout_s=2.0)


class ReadyPipe:
    """Tells the parent when readiness changes; a parent that has ended needs no word, and no call is cut for that."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._told: bool | None = None

    def report(self, is_ready: bool) -> None:
        if is_ready is not self._told:
            self._told = is_ready
            with suppress(BrokenPipeError):
                os.write(self._descriptor, READY if is_ready else NOT_READY)


def main() -> None:
    number, api_descriptor, ready_descriptor, parent = (int(argument) for argument in sys.argv[1:])
    del sys.argv[1:]
    settings = settings_or_exit(HELP, Settings.from_environment)
    start_logging(settings.log_level)
    _end_with(parent)
    place = Place(
        node=f"{settings.node}-w{number}",
        api_listener=socket.socket(fileno=api_descriptor),
        metrics_listener=None,
        registry=CollectorRegistry(),
        report_ready=ReadyPipe(ready_descriptor).report,
        drain_bounds=lambda: settings.drain if os.getppid() == parent else _ORPHAN_BOUNDS,
    )
    raise SystemExit(run(serve(settings, place)))


def _end_with(parent: int) -> None:
    """Have the kernel send SIGTERM when `parent` ends; exit at once if it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
