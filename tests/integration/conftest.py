"""Real servers: one PostgreSQL and one NATS for the run, a database of its own for every test."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.migrations import upgrade
from controlplane.prices.book import ensure_price_book
from tests.integration.few_prices import build_book
from tollctl.local.nats import EmbeddedNats
from tollctl.local.postgres import EmbeddedPostgres


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """PostgreSQL 18, or the major version that TOLLWAY_TEST_POSTGRES names."""
    version = os.environ.get("TOLLWAY_TEST_POSTGRES", "18")
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), version=version, fsync=False)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def database_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a fresh, empty database."""
    async with _made_database(postgres_server) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database that nobody uses, migrated once; copies of it are many times faster than migrations."""
    name = "migrated"
    await _run_statement(postgres_server, f"CREATE DATABASE {name}")
    await upgrade(postgres_server.url(name))
    return name


@pytest_asyncio.fixture
async def migrated_url(postgres_server: EmbeddedPostgres, _migrated_template: str) -> AsyncIterator[str]:
    """The URL of a fresh database with the current schema."""
    async with _made_database(postgres_server, _migrated_template) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _priced_template(postgres_server: EmbeddedPostgres, _migrated_template: str) -> str:
    """The name of a copy of that database with a price book of a few providers in force."""
    name = "priced"
    await _run_statement(postgres_server, f"CREATE DATABASE {name} TEMPLATE {_migrated_template}")
    database = Database(postgres_server.url(name))
    await ensure_price_book(ConfigStore(database), build_book)
    await database.close()
    return name


@pytest_asyncio.fixture
async def priced_url(postgres_server: EmbeddedPostgres, _priced_template: str) -> AsyncIterator[str]:
    """The URL of a fresh database with the current schema and few prices, which a control plane adds none to."""
    async with _made_database(postgres_server, _priced_template) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedNats]:
    """NATS with JetStream; its streams outlive a test, so name them apart."""
    folder: Path = tmp_path_factory.mktemp("nats")
    server = EmbeddedNats(folder)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def nats_url(nats_server: EmbeddedNats) -> str:
    """The URL of the shared NATS server."""
    return nats_server.url()


@asynccontextmanager
async def _made_database(server: EmbeddedPostgres, template: str = "template1") -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    await _run_statement(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.url(name)
    await _run_statement(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _run_statement(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
