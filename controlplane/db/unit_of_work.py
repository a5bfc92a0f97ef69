"""Transactions on the configuration: one writer at a time, a revision and audit rows for what it changed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.audit.rows import AuditEntry
from controlplane.audit.store import AuditStore
from controlplane.db.engine import Database
from controlplane.keys.store import DigestStore
from controlplane.ledger.metadata_keys.store import MetadataKeyStore
from controlplane.ledger.periods.store import PeriodStore
from controlplane.ledger.rerating.store import ReratingStore
from controlplane.prices.store import BookStore
from controlplane.resources.rows import Head, StoredResource
from controlplane.resources.store import HeadStore, ResourceStore, ServedRequestStore
from controlplane.secrets.store import SecretStore

CONFIG_CHANNEL = "tollway_config"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ReadView:
    """Stores on one moment of the database."""

    head: Head
    resources: ResourceStore
    digests: DigestStore
    secrets: SecretStore
    books: BookStore
    audit: AuditStore
    periods: PeriodStore
    rerating: ReratingStore


class UnitOfWork:
    """The stores inside a transaction that keeps other writers out; what it records becomes one revision.

    Rows of resources are written at the end, all at once: `resources` shows what was there before.
    """

    def __init__(self, connection: AsyncConnection, head: Head, now: datetime) -> None:
        self.now = now
        self.head = head
        self.heads = HeadStore(connection)
        self.resources = ResourceStore(connection)
        self.digests = DigestStore(connection)
        self.secrets = SecretStore(connection)
        self.books = BookStore(connection)
        self.metadata_keys = MetadataKeyStore(connection)
        self.audit = AuditStore(connection)
        self.periods = PeriodStore(connection)
        self.rerating = ReratingStore(connection)
        self.requests = ServedRequestStore(connection)
        self.changes: list[tuple[StoredResource, AuditEntry]] = []

    @property
    def next_revision(self) -> int:
        """The revision that the changes of this transaction get."""
        return self.head.revision + 1

    @property
    def revision(self) -> int:
        """The revision that holds once this transaction has committed."""
        return self.next_revision if self.changes else self.head.revision

    def record(self, row: StoredResource, entry: AuditEntry) -> None:
        """Notes the new revision of one resource, which makes this transaction take a revision."""
        self.changes.append((row, entry))


class ConfigStore:
    """Opens transactions on the configuration; `notify` off leaves waking to the poll of listeners."""

    def __init__(self, database: Database, *, notify: bool = True, now: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self.now = now
        self._notify = notify

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadView]:
        """Raises Unavailable when the database is away."""
        async with self.database.snapshot() as connection:
            yield ReadView(
                head=await HeadStore(connection).read(),
                resources=ResourceStore(connection),
                digests=DigestStore(connection),
                secrets=SecretStore(connection),
                books=BookStore(connection),
                audit=AuditStore(connection),
                periods=PeriodStore(connection),
                rerating=ReratingStore(connection),
            )

    @asynccontextmanager
    async def write(self, *, validate_only: bool = False) -> AsyncIterator[UnitOfWork]:
        """Commits when the block ends and it is not `validate_only`; raises Unavailable when the database is away."""
        async with self.database.transaction() as connection:
            unit = UnitOfWork(connection, await HeadStore(connection).lock(), self.now())
            yield unit
            if validate_only:
                await connection.rollback()
            elif unit.changes:
                await self._finish(unit)

    async def _finish(self, unit: UnitOfWork) -> None:
        await unit.resources.put_all([row for row, _ in unit.changes])
        await unit.audit.append([entry for _, entry in unit.changes])
        revision = await unit.heads.advance()
        if self._notify:
            await unit.heads.notify(CONFIG_CHANNEL, revision)
