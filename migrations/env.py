"""Runs migrations on the connection that controlplane.migrations opened."""

from alembic import context
from sqlalchemy import Connection


def run_migrations(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


run_migrations(context.config.attributes["connection"])
