"""`tollctl up`: the whole stack on this machine, in the foreground, until a signal ends it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tollctl.errors import CommandError
from tollctl.local.banner import render_banner
from tollctl.local.blueprint import CONTROLPLANE, NATS, POSTGRES, Blueprint, draw_blueprint
from tollctl.local.console import Console
from tollctl.local.datadir import lock_data_dir
from tollctl.local.demo import make_demo_documents
from tollctl.local.errors import LocalError
from tollctl.local.external import check_database_url, check_nats
from tollctl.local.logs import follow_log, is_loud, quote_last_line
from tollctl.local.manifests import apply_documents, wait_for_key
from tollctl.local.options import UpOptions
from tollctl.local.process import Child
from tollctl.local.service import Service
from tollctl.local.stackfile import remove_stack, write_stack
from tollctl.local.supervisor import Supervisor, run_all
from tollctl.manifests import Document, read_documents

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED, _KILLED = 1, 130


async def run_up(options: UpOptions) -> int:
    """Run a stack until SIGINT, SIGTERM or SIGHUP; the first drains and stops it, the second kills what is left.

    Returns the exit code: 0 after a stop in good order, 1 after an error, which was printed, 130 after a kill. However
    it ends, nothing of it is left running. Call it in the main thread.
    """
    console = Console(sys.stdout)
    try:
        documents = _read_config(options.config)
        with lock_data_dir(options.data_dir) as data_dir:
            return await _run(options, data_dir, documents, console)
    except (LocalError, CommandError) as error:
        console.complain(str(error))
        return _FAILED
    except OSError as error:
        console.complain(f"{error.filename or options.data_dir}: {error.strerror or error}")
        return _FAILED
    finally:
        console.close()


def _read_config(sources: Sequence[str]) -> list[Document]:
    return read_documents(sources, sys.stdin) if sources else []


async def _run(options: UpOptions, data_dir: Path, documents: list[Document], console: Console) -> int:
    check_database_url(options.database_url)
    blueprint = await draw_blueprint(options, data_dir, os.environ)
    remove_stack(data_dir)
    supervisor = Supervisor(blueprint.services, console.say, lambda: write_stack(blueprint))
    stack = _Stack(options, blueprint, supervisor, console)
    async with _signals() as (end, hurry):
        try:
            await _until_set(end, stack.serve(documents))
            console.say("stopping: running calls are let finish; press Ctrl-C again to kill them")
        finally:
            await supervisor.stop(hurry=hurry)
            remove_stack(data_dir)
    console.say("tollway is down")
    return _KILLED if hurry.is_set() else 0


class _Stack:
    """A blueprint coming to life."""

    def __init__(self, options: UpOptions, blueprint: Blueprint, supervisor: Supervisor, console: Console) -> None:
        self._options = options
        self._blueprint = blueprint
        self._supervisor = supervisor
        self._console = console
        self._controlplane_ready = asyncio.Event()

    async def serve(self, documents: list[Document]) -> None:
        """Start everything, say so, and keep it running. Raises LocalError where it does not come up."""
        tails = [asyncio.create_task(self._relay(service)) for service in self._blueprint.services]
        try:
            starts = [self._start(service) for service in self._blueprint.services]
            await run_all(check_nats(self._options.nats_url), self._migrate(), *starts, self._configure(documents))
            write_stack(self._blueprint)
            self._console.say(render_banner(self._blueprint, os.environ))
            await self._supervisor.keep_running()
        finally:
            for tail in tails:
                tail.cancel()
            await asyncio.gather(*tails, return_exceptions=True)

    async def _start(self, service: Service) -> None:
        await self._supervisor.start(service)
        if service.name == CONTROLPLANE:
            self._controlplane_ready.set()

    async def _migrate(self) -> None:
        """Raises LocalError with the migration's own last line, which names the database."""
        command = self._blueprint.migration
        child = Child(command)
        try:
            code = await child.wait()
        finally:
            await child.stop()
        if code != 0 and command.log is not None:
            raise LocalError(f"cannot prepare the database: {quote_last_line(command.log)}")

    async def _configure(self, documents: list[Document]) -> None:
        await self._controlplane_ready.wait()
        ports, credentials = self._blueprint.ports, self._blueprint.credentials
        demo = make_demo_documents(self._blueprint.sim_url, os.environ) if self._options.demo else []
        keys = [credentials.demo_key] if self._options.demo else []
        for batch in (demo, documents):
            keys += await apply_documents(ports.admin, credentials.admin_token, batch, self._console.say)
        for key in keys:
            await wait_for_key(ports.api, key)

    async def _relay(self, service: Service) -> None:
        """Show a service's log; of the servers that are not ours only what is a warning or worse."""
        is_chatty = service.name in (POSTGRES, NATS)

        def emit(line: str) -> None:
            if not is_chatty or is_loud(line):
                self._console.relay(service.name, line)

        await follow_log(service.log, emit)


@asynccontextmanager
async def _signals() -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: the first signal sets the first, the second signal sets the second."""
    end, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def note() -> None:
        (hurry if end.is_set() else end).set()

    heard = [number for number in _END_SIGNALS if not _is_ignored(number)]
    for number in heard:
        loop.add_signal_handler(number, note)
    try:
        yield end, hurry
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def _is_ignored(number: signal.Signals) -> bool:
    """Whether the user had it ignored, as nohup does with SIGHUP; an interrupt from a script is meant all the same."""
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


async def _until_set(end: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run work until `end` is set or it raises."""
    working = asyncio.ensure_future(work)
    ending = asyncio.create_task(end.wait(), name="end")
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, ending):
            task.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)
