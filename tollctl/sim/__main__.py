"""`python -m tollctl.sim`: prints its base URL on one line when it listens; SIGTERM or Ctrl-C ends it."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from tollctl.sim.server import SimServer
from tollctl.sim.truthlog import TruthLog

_KEEPALIVE_S = 300.0
_SHUTDOWN_TIMEOUT_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="tollctl.sim", description="The simulated provider.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 is a free one (default: %(default)s)")
    parser.add_argument(
        "--truth-log",
        type=Path,
        metavar="FILE",
        help="append what was served as lines of JSON, on disk before it goes out (default: none)",
    )
    arguments = parser.parse_args()
    try:
        _choose_run()(_serve(arguments.host, arguments.port, arguments.truth_log))
    except _LogRefused as error:
        sys.exit(f"cannot write {arguments.truth_log}: {error}; choose another --truth-log")
    except OSError as error:
        sys.exit(f"cannot listen on {arguments.host}:{arguments.port}: {error.strerror}; choose another --port")


def _choose_run() -> Callable[..., None]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    run: Callable[..., None] = uvloop.run
    return run


class _LogRefused(Exception):
    """The truth log cannot be opened."""


def _open_log(path: Path | None) -> TruthLog | None:
    try:
        return None if path is None else TruthLog(path)
    except OSError as error:
        raise _LogRefused(error.strerror) from None


async def _serve(host: str, port: int, truth_log: Path | None) -> None:
    log = _open_log(truth_log)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(
        SimServer(log).build_app(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=_KEEPALIVE_S,
        shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024, reuse_address=True).start()
        bound = runner.addresses[0]
        print(f"http://{host}:{bound[1]}", flush=True)
        await stopped.wait()
    finally:
        await runner.cleanup()
        if log is not None:
            await log.close()


if __name__ == "__main__":
    main()
