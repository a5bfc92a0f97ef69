"""The engine behind a `postgresql://` URL, and transactions that fail with domain errors."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.db.refusals import REFUSALS, place_of
from controlplane.errors import DatabaseRefused, Unavailable

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 5
COMMAND_GRACE_S = 5.0
POOL_SIZE = 5
POOL_OVERFLOW = 5
POOL_WAIT_S = 5.0
IDLE_PING_S = 15.0

_AWAY = "the database cannot be reached at the moment; try again shortly"

# SQLSTATE: shutdown and start-up, connection, too many of them, lock and statement timeouts, lost races, read-only.
_TRANSIENT_STATES = ("57P", "08", "53", "55P03", "57014", "40001", "40P01", "25006")


class Database:
    """One database and its pool; close it with `close`.

    The URL is a libpq one: sslmode, sslrootcert, several hosts, a socket folder as `host` all work.
    `statement_timeout_s` 0 lets statements take as long as they need.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str = "tollway",
        pool_size: int = POOL_SIZE,
        statement_timeout_s: int = STATEMENT_TIMEOUT_S,
    ) -> None:
        self._url = url
        self._application_name = application_name
        self._statement_timeout_s = statement_timeout_s
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect_pooled,
            pool_size=pool_size,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=POOL_WAIT_S,
            pool_use_lifo=True,
            hide_parameters=True,
        )
        event.listen(self.engine.sync_engine, "checkin", _note_use)
        event.listen(self.engine.sync_engine, "checkout", _check_alive)

    @property
    def place(self) -> str:
        """Host, port and database, for messages: never the user or the password."""
        return place_of(self._url)

    async def close(self) -> None:
        await self.engine.dispose()

    async def connect_dedicated(self) -> asyncpg.Connection:
        """A connection outside the pool, for LISTEN; the caller closes it.

        Raises OSError, TimeoutError, asyncpg.PostgresError or DatabaseRefused.
        """
        return await self._connect(server_settings={"application_name": f"{self._application_name}-listen"})

    @asynccontextmanager
    async def transaction(self, *, isolation: str = "READ COMMITTED") -> AsyncIterator[AsyncConnection]:
        """A transaction: commits at the end, rolls back on an exception.

        Raises Unavailable when the database is away, overloaded or locked for too long, DatabaseRefused as that.
        """
        try:
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level=isolation)
                async with connection.begin():
                    yield connection
        except (OSError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError) as error:
            if not is_transient(error):
                raise
            raise Unavailable(_AWAY) from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A transaction whose statements all see the same moment."""
        async with self.transaction(isolation="REPEATABLE READ") as connection:
            yield connection

    async def schema_revision(self) -> str | None:
        """The migration that the database is at; None when it is empty. Raises Unavailable."""
        async with self.transaction() as connection:
            if await connection.scalar(text("SELECT to_regclass('alembic_version')::text")) is None:
                return None
            version: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return version

    async def _connect_pooled(self) -> asyncpg.Connection:
        return await self._connect(
            server_settings={
                "application_name": self._application_name,
                "statement_timeout": f"{self._statement_timeout_s}s",
                "lock_timeout": f"{LOCK_TIMEOUT_S}s",
                "idle_in_transaction_session_timeout": f"{2 * self._statement_timeout_s}s",
            }
        )

    async def _connect(self, server_settings: dict[str, str]) -> asyncpg.Connection:
        timeout_s = self._statement_timeout_s
        try:
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=timeout_s + COMMAND_GRACE_S if timeout_s else None,
                server_settings=server_settings,
            )
        except REFUSALS as error:
            raise DatabaseRefused(_AWAY, detail=f"{self.place}: {' '.join(str(error).split())}") from error


def _note_use(connection: Any, record: Any) -> None:
    """A connection goes back to the pool; None when it is of no more use."""
    record.info["used_s"] = time.monotonic()


def _check_alive(connection: Any, record: Any, proxy: Any) -> None:
    """Lets the pool replace a connection that is closed, or was idle and does not answer.

    A ping takes three round trips, so that connections in use do without. Raises DisconnectionError.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError
    if time.monotonic() - record.info.get("used_s", time.monotonic()) > IDLE_PING_S:
        try:
            connection.ping()
        except (OSError, asyncpg.InterfaceError, connection.dbapi.Error) as error:
            raise DisconnectionError from error


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may succeed later: connection trouble, timeouts, lost races."""
    if isinstance(error, OSError | PoolTimeout | asyncio.TimeoutError | InterfaceError | OperationalError):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        original = error.orig
        state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
        return _is_transient_state(state) or _caused_by_connection(original)
    return isinstance(error, asyncpg.InterfaceError) or _is_transient_state(getattr(error, "sqlstate", None))


def _is_transient_state(state: object) -> bool:
    return isinstance(state, str) and state.startswith(_TRANSIENT_STATES)


def _caused_by_connection(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.PostgresConnectionError):
            return True
        error = error.__cause__
    return False
