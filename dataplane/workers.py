"""The parent of several data plane processes: it holds the port, restarts who dies, and shows the sum of metrics.

Workers are fresh interpreters that inherit the listening socket, so the kernel hands each connection to one of them
and none is refused while one restarts.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from dataplane.exposition import metrics_listener
from dataplane.listeners import open_listener, where
from dataplane.settings import LISTEN, METRICS_LISTEN, DrainSettings, Settings

METRICS_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_EXIT_SETTINGS: Final = 2
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_STEADY_S: Final = 30.0
_GRACE_S: Final = 20.0
_PIPE_BYTES: Final = 4096
_WORKER_MODULE: Final = "dataplane.worker"
READY: Final = b"1"
NOT_READY: Final = b"0"

logger = logging.getLogger(__name__)


class Worker:
    """One place among the workers: the process that fills it, and whether that is ready."""

    def __init__(self, number: int, api_listener: socket.socket, environ: Mapping[str, str]) -> None:
        self.number = number
        self.is_ready = False
        self._api_listener = api_listener
        self._environ = environ
        self._process: Process | None = None
        self._is_ending = False

    async def run_process(self) -> int:
        """Start a process and wait for its end; its exit code, minus the signal's number where one ended it."""
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        inherited = (self._api_listener.fileno(), write_end)
        arguments = (self.number, *inherited, os.getpid())
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _WORKER_MODULE,
                *(str(argument) for argument in arguments),
                env=self._environ,
                pass_fds=inherited,
                stdin=asyncio.subprocess.DEVNULL,
            )
        finally:
            os.close(write_end)
        return await self._watch(process, read_end)

    def end(self) -> None:
        """Have the process drain and end, also one that is only being started."""
        self._is_ending = True
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _watch(self, process: Process, read_end: int) -> int:
        loop = asyncio.get_running_loop()
        self._process = process
        if self._is_ending:
            self.end()
        loop.add_reader(read_end, self._hear, read_end)
        try:
            return await process.wait()
        finally:
            loop.remove_reader(read_end)
            os.close(read_end)
            self.is_ready = False
            mark_process_dead(process.pid, self._environ[METRICS_FOLDER_VARIABLE])  # type: ignore[no-untyped-call]

    def _hear(self, read_end: int) -> None:
        told = os.read(read_end, _PIPE_BYTES)
        if told:
            self.is_ready = told.endswith(READY)
        else:
            asyncio.get_running_loop().remove_reader(read_end)


class Workers:
    """Keeps workers running until told to stop.

    bounds: how long a worker may take to drain before it is killed, with a grace for flushing usage.
    """

    def __init__(self, workers: Sequence[Worker], bounds: DrainSettings) -> None:
        self._workers = workers
        self._longest_stop_s = bounds.delay_s + bounds.timeout_s + _GRACE_S
        self._stopping = asyncio.Event()
        self._exit_code = 0

    @property
    def is_ready(self) -> bool:
        return not self._stopping.is_set() and all(worker.is_ready for worker in self._workers)

    def stop(self) -> None:
        """Have every worker drain and end; none is started any more."""
        self._stopping.set()

    async def run(self) -> int:
        """Returns when all have ended after `stop`: 0, or the exit code of one that failed."""
        keeping = [asyncio.create_task(self._keep(worker), name=f"worker-{worker.number}") for worker in self._workers]
        await self._stopping.wait()
        for worker in self._workers:
            worker.end()
        _, late = await asyncio.wait(keeping, timeout=self._longest_stop_s)
        if late:
            logger.error("workers are killed, for they did not end in time workers=%d", len(late))
            for worker in self._workers:
                worker.kill()
        await asyncio.gather(*keeping)
        return self._exit_code

    async def _keep(self, worker: Worker) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            began_s = time.monotonic()
            exit_code = await worker.run_process()
            if exit_code == _EXIT_SETTINGS:
                self.stop()
            if self._stopping.is_set():
                self._exit_code = self._exit_code or _failure(exit_code)
                return
            if time.monotonic() - began_s >= _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            logger.error(
                "worker ended and is started again worker=%d exit_code=%d pause_s=%g", worker.number, exit_code, pause_s
            )
            await self._pause(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()


async def supervise(settings: Settings) -> int:
    """Run `settings.workers` processes until SIGTERM or SIGINT; the exit code. Raises ListenFailed."""
    api_listener = open_listener(settings.api.listen, LISTEN)
    metrics_socket = open_listener(settings.metrics_listen, METRICS_LISTEN)
    with tempfile.TemporaryDirectory(prefix="tollway-metrics-") as metrics_folder:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, metrics_folder)  # type: ignore[no-untyped-call]
        environ = {**os.environ, METRICS_FOLDER_VARIABLE: metrics_folder}
        workers = Workers(
            [Worker(number, api_listener, environ) for number in range(1, settings.workers + 1)], settings.drain
        )

        def stop() -> None:
            # While this process holds the socket too, connections that no worker accepts any more would hang.
            api_listener.close()
            workers.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        async with metrics_listener(metrics_socket, registry, lambda: workers.is_ready):
            logger.info("serving node=%s address=%s workers=%d", settings.node, where(api_listener), settings.workers)
            return await workers.run()


def _failure(exit_code: int) -> int:
    """A worker that got SIGTERM before it served anything has not failed."""
    return 0 if exit_code == -signal.SIGTERM else abs(exit_code)
