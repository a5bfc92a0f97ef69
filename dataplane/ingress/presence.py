"""Watches the clients of running calls: a client that left ends its call, one that waits is kept company."""

import asyncio
import time
from types import TracebackType

from aiohttp import web

from dataplane.call import Outcome
from dataplane.errors import ClientGone, GatewayError, Overloaded
from dataplane.ingress.writers import ResponseWriter

SWEEP_INTERVAL_S = 0.1
KEEP_ALIVE_S = 15.0
WRITE_STALL_S = 60.0


class ClientPresence:
    """One sweep over all running calls, so that a call costs no task of its own."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._keep_alives: set[asyncio.Task[None]] = set()

    def watch(self, request: web.BaseRequest, writer: ResponseWriter, outcome: Outcome) -> "Watch":
        """A context that ends the call with ClientGone as soon as its client has left, or reads no more."""
        return Watch(self._watches, request, writer, outcome)

    def end_all(self, reason: str) -> None:
        """Ends every running call with an error that tells its client `reason`."""
        for watch in list(self._watches):
            watch.end(Overloaded(reason))

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            now_s = time.monotonic()
            for watch in list(self._watches):
                self._look(watch, now_s)

    def _look(self, watch: "Watch", now_s: float) -> None:
        transport, writer = watch.request.transport, watch.writer
        if transport is None or transport.is_closing():
            watch.end(ClientGone("The client left."))
        elif writer.write_began_s and now_s - writer.write_began_s > WRITE_STALL_S:
            transport.abort()
        elif writer.is_waiting and not writer.write_began_s and now_s - writer.last_write_s > KEEP_ALIVE_S:
            task = asyncio.create_task(writer.keep_alive(watch.outcome), name="keep-alive")
            self._keep_alives.add(task)
            task.add_done_callback(self._keep_alives.discard)


class Watch:
    """One running call under watch; entered and left by the task that runs it."""

    __slots__ = ("_end", "_task", "_watches", "outcome", "request", "writer")

    def __init__(
        self, watches: "set[Watch]", request: web.BaseRequest, writer: ResponseWriter, outcome: Outcome
    ) -> None:
        self._watches = watches
        self._task: asyncio.Task[object] | None = None
        self._end: GatewayError | None = None
        self.request = request
        self.writer = writer
        self.outcome = outcome

    def end(self, error: GatewayError) -> None:
        """Cancels what the call waits for; the context then raises `error` instead."""
        if self._task is not None and self._end is None:
            self._end = error
            self._task.cancel()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._watches.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watches.discard(self)
        if self._end is not None and self._task is not None and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise self._end from error
