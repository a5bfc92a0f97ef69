"""`tollway-migrate`: brings the database to the schema of this release, and is quick when it is there already."""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from controlplane.db.refusals import REFUSALS, place_of
from controlplane.migrations import UPGRADE_LOCK, current_revision, head_revision, upgrade
from tollway.settings import Environment, Variable, help_text, settings_or_exit

DATABASE_URL = Variable(
    "TOLLWAY_DATABASE_URL", unit="postgresql://user:password@host:port/database", required=True, description="database"
)
DATABASE_WAIT_S = Variable(
    "TOLLWAY_DATABASE_WAIT_S",
    unit="s",
    default="30",
    description="how long to wait for a database that does not answer yet",
)
HELP = help_text(
    "tollway-migrate", "Brings the database to the schema of this release.", (DATABASE_URL, DATABASE_WAIT_S)
)
_CONNECT_TIMEOUT_S = 5.0
_RETRY_S = 0.1
_MAX_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`database_wait_s` is in seconds."""

    database_url: str
    database_wait_s: float

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        environment = Environment(environ)
        return cls(
            database_url=environment.url(DATABASE_URL, ("postgresql", "postgres")),
            database_wait_s=environment.seconds(DATABASE_WAIT_S, minimum=0, maximum=_MAX_WAIT_S),
        )


class MigrationFailed(Exception):
    """Migrating is impossible; the message is one line for the operator and holds no password."""


def main() -> None:
    settings = settings_or_exit(HELP, Settings.from_environment)
    try:
        sys.stdout.write(asyncio.run(_migrate(settings)) + "\n")
    except MigrationFailed as error:
        sys.stderr.write(f"tollway-migrate: {error}\n")
        raise SystemExit(1) from None


async def _migrate(settings: Settings) -> str:
    connection = await _connect(settings)
    try:
        head = head_revision()
        if await current_revision(connection) == head:
            return f"the database is at revision {head} already"
        await connection.execute("SELECT pg_advisory_lock($1)", UPGRADE_LOCK, timeout=_MAX_WAIT_S)
        found = await current_revision(connection)
        if found != head:
            _refuse_newer(found, head)
            await upgrade(settings.database_url)
        return f"the database is at revision {head} now"
    except (asyncpg.PostgresError, OSError) as error:
        raise MigrationFailed(f"migrating {_place(settings)} failed: {_one_line(error)}") from error
    finally:
        await connection.close()


def _refuse_newer(found: str | None, head: str) -> None:
    if found is not None and found > head:
        raise MigrationFailed(f"the database is at revision {found}, which is newer than {head} of this release")


async def _connect(settings: Settings) -> asyncpg.Connection:
    """Retries while the server is away or starting; a wrong name or password fails at once."""
    deadline = time.monotonic() + settings.database_wait_s
    while True:
        try:
            return await asyncpg.connect(settings.database_url, timeout=_CONNECT_TIMEOUT_S)
        except REFUSALS as error:
            raise MigrationFailed(
                f"cannot use {_place(settings)}: {_one_line(error)}; correct {DATABASE_URL.name}"
            ) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise MigrationFailed(
                    f"{_place(settings)} did not answer within {settings.database_wait_s:g} s: {_one_line(error)}; "
                    f"correct {DATABASE_URL.name} or raise {DATABASE_WAIT_S.name}"
                ) from error
        await asyncio.sleep(_RETRY_S)


def _place(settings: Settings) -> str:
    return f"the database at {place_of(settings.database_url)}"


def _one_line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())


if __name__ == "__main__":
    main()
