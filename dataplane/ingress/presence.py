"""Watches the clients of running calls: a client that left ends its call, one that waits is kept company."""

import asyncio
import time
from types import TracebackType

from aiohttp import web

from dataplane.call import Outcome
from dataplane.errors import ClientGone
from dataplane.ingress.writers import SseWriter

SWEEP_INTERVAL_S = 0.1
KEEP_ALIVE_S = 15.0
WRITE_STALL_S = 60.0


class ClientPresence:
    """One sweep over all running calls, so that a call costs no task of its own."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._keep_alives: set[asyncio.Task[None]] = set()

    def watch(self, request: web.Request, stream: SseWriter | None, outcome: Outcome) -> "Watch":
        """A context inside which the call ends with ClientGone as soon as its client has left."""
        return Watch(self._watches, request, stream, outcome)

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            now_s = time.monotonic()
            for watch in list(self._watches):
                self._look(watch, now_s)

    def _look(self, watch: "Watch", now_s: float) -> None:
        transport, stream = watch.request.transport, watch.stream
        if transport is None or transport.is_closing():
            watch.end()
        elif stream is None:
            return
        elif stream.write_began_s and now_s - stream.write_began_s > WRITE_STALL_S:
            transport.abort()
        elif not stream.write_began_s and now_s - stream.last_write_s > KEEP_ALIVE_S:
            task = asyncio.create_task(stream.keep_alive(watch.outcome), name="keep-alive")
            self._keep_alives.add(task)
            task.add_done_callback(self._keep_alives.discard)


class Watch:
    """One running call under watch; entered and left by the task that runs it."""

    __slots__ = ("_is_gone", "_task", "_watches", "outcome", "request", "stream")

    def __init__(self, watches: "set[Watch]", request: web.Request, stream: SseWriter | None, outcome: Outcome) -> None:
        self._watches = watches
        self._task: asyncio.Task[object] | None = None
        self._is_gone = False
        self.request = request
        self.stream = stream
        self.outcome = outcome

    def end(self) -> None:
        """Cancels what the call waits for; inside the context that becomes ClientGone."""
        if self._task is not None and not self._is_gone:
            self._is_gone = True
            self._task.cancel()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._watches.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watches.discard(self)
        if self._is_gone and self._task is not None and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise ClientGone("The client left.") from error
