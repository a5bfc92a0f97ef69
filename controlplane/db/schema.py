"""Running the migrations; imports alembic, which nothing else does."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from controlplane.db.engine import Database


async def upgrade_schema(url: str, folder: Path, revision: str = "head") -> None:
    """Brings the database up to `revision` of the migrations in `folder`."""

    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    database = Database(url, application_name="tollway-migrate", statement_timeout_s=0)
    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await database.close()
