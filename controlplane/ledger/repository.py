"""Booking: entries, their sums and dead letters in one transaction."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
from sqlalchemy import DDL, MetaData, bindparam, column, delete, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.ledger.aggregate import aggregate
from controlplane.ledger.entries import (
    ROLLUP_DIMENSIONS,
    ROLLUP_SUMS,
    BookedBatch,
    DeadLetter,
    LedgerEntry,
    Rollup,
)
from controlplane.ledger.partitions import DEFAULT_PARTITION, Partition
from controlplane.ledger.tables import ledger_dead_letter, ledger_entry, usage_rollup

MOST_STRAYS = 10_000
ROUTING_TRIES = 5
PARTITION_LOCK = 0x6C6564676572
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATA_ERROR_CLASSES = ("22", "23", "54")
_SCHEMA_ERROR_CLASS = "42"
_CHECK_VIOLATION = "23514"
_STAGING_NAME = "ledger_entry_staging"
_ENTRY_COLUMNS = [c.name for c in ledger_entry.columns if c.server_default is None]


class EntriesRejected(Exception):
    """The database refuses the data of the batch, and would again."""


class _PartitionAppeared(Exception):
    """An entry was on its way to the default partition while one for its day was attached."""


class LedgerRepository:
    """Writes of the ledger, each one transaction that may be repeated without any further effect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(self, entries: Sequence[LedgerEntry], dead_letters: Sequence[DeadLetter]) -> BookedBatch:
        """Insert what is not there yet and add only that to the sums.

        Raises Unavailable when the same batch may be booked later, EntriesRejected when it never can. An answer may be
        lost after the commit; then the batch is found to be there the next time.
        """
        # In order of id, so that two writers of the same events wait for each other in one direction only.
        unique = sorted({entry.event_id: entry for entry in entries}.values(), key=lambda entry: entry.event_id.int)
        for _ in range(ROUTING_TRIES):
            try:
                inserted = await self._book(unique, dead_letters)
            except _PartitionAppeared:
                continue
            return BookedBatch(inserted=inserted, duplicates=len(entries) - len(inserted))
        raise Unavailable("partitions of the ledger are being made; try again")

    async def _book(self, entries: list[LedgerEntry], dead_letters: Sequence[DeadLetter]) -> list[LedgerEntry]:
        async with self._database.transaction() as connection:
            try:
                await connection.execute(_COMMIT_DURABLY)
                inserted = await _insert_entries(connection, entries)
                await _add_to_rollups(connection, aggregate(inserted))
                await _keep_dead_letters(connection, dead_letters)
            except (DBAPIError, asyncpg.PostgresError, ValueError, OverflowError) as error:
                translated = _translated(error)
                if translated is None:
                    raise
                raise translated from error
        return inserted


class PartitionRepository:
    """Daily partitions of ledger entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, partitions: Iterable[Partition]) -> None:
        """Create those of `partitions` that are not there, with the entries that the default partition holds for them.

        Raises Unavailable.
        """
        wanted = list(partitions)
        async with self._database.transaction() as connection:
            if not await _missing(connection, wanted):
                return
            await connection.execute(_LOCK_PARTITIONS, {"lock": PARTITION_LOCK})
            for partition in await _missing(connection, wanted):
                await _create(connection, partition)

    async def count_stray_entries(self) -> int:
        """Entries in the default partition, counted up to MOST_STRAYS. Raises Unavailable."""
        some = select(_DEFAULT.c.event_id).limit(MOST_STRAYS).subquery()
        async with self._database.transaction() as connection:
            return int((await connection.execute(select(func.count()).select_from(some))).scalar_one())


async def _missing(connection: AsyncConnection, partitions: Iterable[Partition]) -> list[Partition]:
    names = {row.name for row in await connection.execute(_PARTITION_NAMES)}
    return [partition for partition in partitions if partition.name not in names]


async def _create(connection: AsyncConnection, partition: Partition) -> None:
    """Made apart and then attached, because that locks neither readers nor writers of other partitions."""
    table = ledger_entry.to_metadata(MetaData(), name=partition.name)
    columns = [c.name for c in _DEFAULT.columns]
    strays = (_DEFAULT.c.event_id >= partition.first) & (_DEFAULT.c.event_id < partition.end)
    await connection.execute(_ddl("CREATE TABLE %(name)s (LIKE ledger_entry INCLUDING ALL)", partition))
    await connection.execute(_LOCK_DEFAULT)
    await connection.execute(insert(table).from_select(columns, select(_DEFAULT).where(strays)))
    await connection.execute(delete(_DEFAULT).where(strays))
    await connection.execute(_ddl(_ATTACH, partition))


def _ddl(statement: str, partition: Partition) -> DDL:
    bounds = {"name": partition.name, "first": partition.first, "end": partition.end}
    return DDL(statement, context=bounds)  # type: ignore[no-untyped-call]


async def _insert_entries(connection: AsyncConnection, entries: list[LedgerEntry]) -> list[LedgerEntry]:
    if not entries:
        return []
    await connection.execute(_MAKE_STAGING)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(_STAGING_NAME, records=_records(entries), columns=_ENTRY_COLUMNS)
    new = set(await connection.scalars(_INSERT_ENTRIES))
    return entries if len(new) == len(entries) else [entry for entry in entries if entry.event_id in new]


async def _add_to_rollups(connection: AsyncConnection, rollups: list[Rollup]) -> None:
    if not rollups:
        return
    columns: dict[str, Sequence[Any]] = dict(zip(Rollup._fields, zip(*rollups, strict=True), strict=True))
    columns["quarter_start"] = [_time(rollup.quarter_start_s * 1_000_000) for rollup in rollups]
    del columns["quarter_start_s"]
    await connection.execute(_ADD_TO_ROLLUPS, columns)


async def _keep_dead_letters(connection: AsyncConnection, dead_letters: Sequence[DeadLetter]) -> None:
    for letter in dead_letters:
        values = {
            "subject": letter.subject,
            "stream_sequence": letter.stream_sequence,
            "event_index": letter.event_index,
            "payload_digest": hashlib.sha256(letter.payload).digest(),
            "payload": letter.payload,
            "reason": letter.reason,
            "deliveries": letter.deliveries,
        }
        await connection.execute(_KEEP_DEAD_LETTER, values)


def _records(entries: list[LedgerEntry]) -> Iterator[tuple[Any, ...]]:
    """`entries` as rows of _ENTRY_COLUMNS, with times and JSON in the form that COPY takes."""
    fields: dict[str, Iterable[Any]] = dict(zip(LedgerEntry._fields, zip(*entries, strict=True), strict=True))
    for name in ("start_time", "first_frame_time", "end_time"):
        fields[name] = map(_time, fields.pop(f"{name}_us"))
    fields["metadata"] = map(_json, fields["metadata"])
    fields["meters"] = map(_json, [{meter.word: n for meter, n in meters.items()} for meters in fields["meters"]])
    fields["key_owner"] = fields.pop("user")
    return zip(*(fields[name] for name in _ENTRY_COLUMNS), strict=True)


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode() if value else "{}"


def _time(time_us: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=time_us) if time_us else None


def _rollup_upsert() -> Insert:
    """Takes an array of values per column."""
    columns = list(usage_rollup.columns)
    arrays = [bindparam(c.name, type_=ARRAY(c.type)) for c in columns]
    new = func.unnest(*arrays).table_valued(*(column(c.name, c.type) for c in columns)).render_derived(name="new")
    names = [c.name for c in columns]
    statement = insert(usage_rollup).from_select(names, select(*(new.c[name] for name in names)))
    sums = {name: usage_rollup.c[name] + statement.excluded[name] for name in ROLLUP_SUMS}
    return statement.on_conflict_do_update(index_elements=["quarter_start", *ROLLUP_DIMENSIONS[1:]], set_=sums)


def _entry_insert() -> ReturningInsert[tuple[uuid.UUID]]:
    staging = ledger_entry.to_metadata(MetaData(), name=_STAGING_NAME)
    rows = select(*(staging.c[name] for name in _ENTRY_COLUMNS)).order_by(staging.c.event_id)
    statement = insert(ledger_entry).from_select(_ENTRY_COLUMNS, rows, include_defaults=False)
    return statement.on_conflict_do_nothing().returning(ledger_entry.c.event_id)


def _dead_letter_upsert() -> Insert:
    statement = insert(ledger_dead_letter)
    deliveries = func.greatest(ledger_dead_letter.c.deliveries, statement.excluded.deliveries)
    return statement.on_conflict_do_update(
        index_elements=["subject", "stream_sequence", "event_index", "payload_digest"],
        set_={"deliveries": deliveries, "last_time": func.now()},
    )


_DEFAULT = ledger_entry.to_metadata(MetaData(), name=DEFAULT_PARTITION)
_PARTITION_NAMES = text(
    "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'ledger_entry'::regclass"
)
_LOCK_PARTITIONS = text("SELECT pg_advisory_xact_lock(:lock)")
_LOCK_DEFAULT = text("LOCK TABLE ledger_entry_default IN ACCESS EXCLUSIVE MODE")
_ATTACH = "ALTER TABLE ledger_entry ATTACH PARTITION %(name)s FOR VALUES FROM ('%(first)s') TO ('%(end)s')"
# What is committed is acknowledged and then gone from NATS, so that a database told not to wait for its disk must wait.
_COMMIT_DURABLY = text(
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
_MAKE_STAGING = text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS ledger_entry_staging (LIKE ledger_entry INCLUDING DEFAULTS)"
    " ON COMMIT DELETE ROWS"
)
_INSERT_ENTRIES = _entry_insert()
_ADD_TO_ROLLUPS = _rollup_upsert()
_KEEP_DEAD_LETTER = _dead_letter_upsert()


def _translated(error: Exception) -> Exception | None:
    """What `error` means for the batch: its data cannot be taken, the schema is not as expected, or none of these."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(cause, "sqlstate", None) or ""
    if sqlstate == _CHECK_VIOLATION:
        return _PartitionAppeared()
    if sqlstate.startswith(_DATA_ERROR_CLASSES) or isinstance(cause, ValueError | OverflowError):
        return EntriesRejected(f"the database refused it ({type(cause).__name__} {sqlstate})")
    if sqlstate.startswith(_SCHEMA_ERROR_CLASS):
        return Unavailable(f"the ledger's tables are not as expected ({type(cause).__name__} {sqlstate})")
    return None
