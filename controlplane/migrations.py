"""Where the migrations are, which revision they end in, whether a database is there, and bringing it there.

Finding out costs neither alembic nor sqlalchemy; only `upgrade` imports them.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from controlplane.db.engine import Database

UPGRADE_LOCK = 0x746F6C6C776179
_REVISION = re.compile(r'^revision(?:: str)? = "([^"]+)"$', re.MULTILINE)
_DOWN_REVISION = re.compile(r'^down_revision(?:: [^=]+)? = "([^"]+)"$', re.MULTILINE)


class SchemaMismatch(Exception):
    """The database is not at the revision that this release needs; the message says what to do."""


def migrations_folder() -> Path:
    """Inside the package when installed from a wheel, beside it in a source tree."""
    package = Path(__file__).resolve().parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "versions").is_dir():
            return folder
    raise FileNotFoundError(f"no migrations beside {package}; the installation is incomplete")


def head_revision(folder: Path | None = None) -> str:
    """The revision that no other one follows."""
    revisions: set[str] = set()
    followed: set[str] = set()
    for path in ((folder or migrations_folder()) / "versions").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        revisions.update(_REVISION.findall(source))
        followed.update(_DOWN_REVISION.findall(source))
    heads = revisions - followed
    if len(heads) != 1:
        raise ValueError(f"migrations end in {sorted(heads)}, which is not one revision")
    return heads.pop()


async def current_revision(connection: asyncpg.Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    version = await connection.fetchval("SELECT version_num FROM alembic_version")
    return None if version is None else str(version)


async def require_current_schema(database: "Database") -> None:
    """Raises SchemaMismatch unless the database is at the head revision, Unavailable when it cannot be asked."""
    found = await database.schema_revision()
    wanted = head_revision()
    if found == wanted:
        return
    at = f"at revision {found}" if found else "empty"
    raise SchemaMismatch(f"the database is {at}, this release needs {wanted}: run tollway-migrate of the same release")


async def upgrade(url: str) -> None:
    """Brings the database to the head revision; the caller holds the advisory lock."""
    from controlplane.db.schema import upgrade_schema

    await upgrade_schema(url, migrations_folder())
