"""The current configuration in memory, kept up to date by NOTIFY with a poll behind it, for all subscribers."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import asyncpg

from controlplane.db.engine import Database
from controlplane.db.unit_of_work import CONFIG_CHANNEL
from controlplane.discovery.state import ConfigState
from controlplane.errors import Unavailable
from tollway.config.v1.discovery_pb2 import Cursor
from tollway.config.v1.resources_pb2 import Resource

logger = logging.getLogger(__name__)

POLL_S = 0.5
REFRESH_TIMEOUT_S = 15.0
LOAD_TIMEOUT_S = 300.0
CATCH_UP_S = 3.0
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 3.0


class Wakeups:
    """An event per subscriber: a slow one finds all that it missed as one change, and keeps no one waiting."""

    def __init__(self) -> None:
        self._events: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._events)

    @contextmanager
    def subscription(self) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)

    def wake(self) -> None:
        for event in self._events:
            event.set()


class ConfigFeed:
    """`refresh` brings a state up to the database; `run` keeps `state` current until it is cancelled.

    `changed_at_s` is the monotonic time of the last change of `state`.
    """

    def __init__(
        self,
        database: Database,
        refresh: Callable[[ConfigState | None], Awaitable[ConfigState]],
        poll_s: float = POLL_S,
    ) -> None:
        self.state: ConfigState | None = None
        self.subscribers = Wakeups()
        self._database = database
        self._refresh = refresh
        self._poll_s = poll_s
        self.changed_at_s = 0.0
        self._due = asyncio.Event()
        self._refreshes = 0
        self._refreshed = asyncio.Condition()
        self._loaded = asyncio.Event()

    @property
    def revision(self) -> int:
        """The revision that subscribers get; 0 before the first load."""
        return 0 if self.state is None else self.state.revision

    def resource(self, name: str) -> Resource | None:
        """The machine resource of that name as subscribers get it; None where there is none, or no state yet."""
        return None if self.state is None else self.state.resource(name)

    async def wait_loaded(self) -> None:
        await self._loaded.wait()

    async def is_loaded(self, timeout_s: float) -> bool:
        """Whether there is a state, now or within `timeout_s`."""
        if self.state is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._loaded.wait()
        return self.state is not None

    async def catch_up(self, cursor: Cursor, timeout_s: float = CATCH_UP_S) -> bool:
        """Looks at the database again when a data plane is ahead of this process; False when that is impossible.

        A data plane that comes from a quicker control plane must not be sent back to an older state.
        """
        if self.state is None or self.state.epoch != cursor.epoch or self.state.revision >= cursor.revision:
            return self.state is not None
        # One refresh may be half done: the next one certainly sees what was committed before this call.
        wanted = self._refreshes + 2
        try:
            async with asyncio.timeout(timeout_s), self._refreshed:
                while self._refreshes < wanted and self.state.revision < cursor.revision:
                    self._due.set()
                    await self._refreshed.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Never ends by itself: while the database is away the last state is served."""
        listener = asyncio.create_task(self._keep_listening(), name="config-listen")
        try:
            await self._keep_refreshing()
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _keep_refreshing(self) -> None:
        failures = 0
        while True:
            self._due.clear()
            try:
                async with asyncio.timeout(LOAD_TIMEOUT_S if self.state is None else REFRESH_TIMEOUT_S):
                    await self._refresh_once()
            except (Unavailable, TimeoutError) as error:
                failures += 1
                if failures == 1:
                    logger.warning(
                        "config feed cannot read the database, the last state is served error=%r", str(error)
                    )
            else:
                if failures:
                    logger.info("config feed reads the database again after=%d", failures)
                failures = 0
            await self._wait_due(_backoff_s(failures) if failures else self._poll_s)

    async def _refresh_once(self) -> None:
        before = None if self.state is None else (self.state.epoch, self.state.revision)
        state = await self._refresh(self.state)
        self.state = state
        self._loaded.set()
        async with self._refreshed:
            self._refreshes += 1
            self._refreshed.notify_all()
        if before != (state.epoch, state.revision):
            self.changed_at_s = time.monotonic()
            self.subscribers.wake()

    async def _wait_due(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._due.wait()
        except TimeoutError:
            pass

    async def _keep_listening(self) -> None:
        failures = 0
        while True:
            try:
                async with self._listening() as closed:
                    failures = 0
                    self._due.set()
                    await closed.wait()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, Unavailable):
                failures += 1
            await asyncio.sleep(_backoff_s(failures))

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[asyncio.Event]:
        """A connection on which notifications arrive; the event is set when it is lost."""
        closed = asyncio.Event()
        connection = await self._database.connect_dedicated()
        try:
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(CONFIG_CHANNEL, lambda *_: self._due.set())
            yield closed
        finally:
            await _close(connection)


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=1)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def _backoff_s(failures: int) -> float:
    longest: float = min(_FIRST_BACKOFF_S * 2 ** min(failures, 10), _LONGEST_BACKOFF_S)
    return longest * random.uniform(0.5, 1)  # noqa: S311
