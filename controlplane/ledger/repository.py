"""Booking: entries, their sums, their producers' progress and dead letters in one transaction."""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg
import orjson
from sqlalchemy import DDL, MetaData, Select, delete, func, literal, select, text
from sqlalchemy.dialects.postgresql import Insert, Range, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.errors import Unavailable
from controlplane.ledger.entries import TOKEN_SUMS, BookedBatch, DeadLetter, EntryCharge, LedgerEntry, token_sums
from controlplane.ledger.latecomers.repository import Detached, ProducerForgotten, drop_booked, unfold_days
from controlplane.ledger.latency import bucket_of
from controlplane.ledger.partitions import DEFAULT_PARTITION, Partition, day_number
from controlplane.ledger.rollups import add_groups, add_latencies, add_sums, admit_values, fresh_values, keyed
from controlplane.ledger.tables import ledger_dead_letter, ledger_entry, ledger_producer
from controlplane.ledger.times import from_unix_us
from controlplane.quota.charges import ChargeSum
from controlplane.quota.settlement.repository import settle_charges
from tollway.kernel.periods import DAY_MS

MOST_STRAYS = 10_000
ROUTING_TRIES = 5
PARTITION_LOCK = 0x6C6564676572
VALUES_LOCK = 0x76616C756573
_DAY_LOCK_SPACE = 0x746F6C6C
DAY_US = DAY_MS * 1000
_EPOCH_DAY = date(1970, 1, 1)
_DATA_ERROR_CLASSES = ("22", "23", "54")
_SCHEMA_ERROR_CLASS = "42"
_CHECK_VIOLATION = "23514"
_STAGING_NAME = "ledger_entry_staging"
ENTRY_COLUMNS = [c.name for c in ledger_entry.columns if c.server_default is None]


class EntriesRejected(Exception):
    """The database refuses the data of the batch, and would again."""


class PartitionAppeared(Exception):
    """An entry was on its way to the default partition while one for its day was attached."""


class LedgerRepository:
    """Writes of the ledger, each one transaction that may be repeated without any further effect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(
        self,
        entries: Sequence[LedgerEntry],
        dead_letters: Sequence[DeadLetter],
        *,
        settled_letters: Sequence[int] = (),
    ) -> BookedBatch:
        """Insert what is not there yet and add only that to the sums; remove the dead letters of `settled_letters`.

        Raises Unavailable when the same batch may be booked later, EntriesRejected when it never can. An answer may be
        lost after the commit; then the batch is found to be there the next time.
        """
        # In order of id, so that two writers of the same events wait for each other in one direction only.
        unique = sorted({entry.event_id: entry for entry in entries}.values(), key=lambda entry: entry.event_id.int)
        for _ in range(ROUTING_TRIES):
            try:
                inserted = await self._book(unique, dead_letters, settled_letters)
            except PartitionAppeared:
                continue
            return BookedBatch(inserted=inserted, duplicates=len(entries) - inserted)
        raise Unavailable("partitions of the ledger are being made; try again")

    async def _book(
        self, entries: list[LedgerEntry], dead_letters: Sequence[DeadLetter], settled_letters: Sequence[int]
    ) -> int:
        async with booking_transaction(self._database) as connection:
            detached = await open_days(connection, (entry.start_time_us // DAY_US for entry in entries))
            inserted = await _insert_entries(connection, entries, detached)
            await _keep_dead_letters(connection, dead_letters)
            if settled_letters:
                await connection.execute(_SETTLE_LETTERS, {"settled": list(settled_letters)})
            await _note_producers(connection, entries, dead_letters)
            if inserted and any(entry.charges for entry in entries):
                await settle_staged(connection, makes_buckets=True)
        return inserted


@asynccontextmanager
async def booking_transaction(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction that adds entries.

    Raises Unavailable, EntriesRejected, and PartitionAppeared, after which the same may be tried again at once.
    """
    async with database.transaction() as connection:
        try:
            await connection.execute(_COMMIT_DURABLY)
            yield connection
        except (DBAPIError, asyncpg.PostgresError, ValueError, OverflowError) as error:
            translated = _translated(error)
            if translated is None:
                raise
            raise translated from error
        except ProducerForgotten as error:
            raise EntriesRejected(str(error)) from error


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
    """Those without a table, attached or not: a day that was detached gets no second one."""
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


async def open_days(connection: AsyncConnection, day_numbers: Iterable[int]) -> list[Detached]:
    """Whoever folds, detaches or rebuilds a day waits for those that book it. Returns the days that are detached.

    Must come before the entries. `day_numbers` count from 1970.
    """
    days = sorted(set(day_numbers))
    if not days:
        return []
    await connection.execute(_LOCK_DAYS, {"space": _DAY_LOCK_SPACE, "days": days})
    return await unfold_days(connection, [_EPOCH_DAY + timedelta(days=day) for day in days])


async def lock_day(connection: AsyncConnection, day: date) -> None:
    """Wait for those that book `day`, and let none begin before this transaction ends."""
    await connection.execute(_LOCK_DAY, {"space": _DAY_LOCK_SPACE, "day": day_number(day)})


async def _insert_entries(connection: AsyncConnection, entries: list[LedgerEntry], detached: Sequence[Detached]) -> int:
    """How many were new."""
    if not entries:
        return 0
    await make_staging(connection)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(_STAGING_NAME, records=_records(entries), columns=ENTRY_COLUMNS)
    for day in detached:
        await drop_booked(connection, day)
    if any(charge.lease_id is None and not charge.window_start_ms for entry in entries for charge in entry.charges):
        await connection.execute(_FIND_WINDOWS)
    return await book_staged(connection, len(entries))


async def make_staging(connection: AsyncConnection) -> None:
    """An empty table STAGING for the entries that this transaction adds."""
    await connection.execute(_MAKE_STAGING)


async def book_staged(connection: AsyncConnection, staged: int) -> int:
    """Inserts the `staged` entries of STAGING and adds them to the sums, once in a transaction; how many were new."""
    inserted = (await connection.execute(_INSERT_ENTRIES)).rowcount
    if inserted < staged:
        await connection.execute(_DROP_DUPLICATES)
    if inserted:
        await _admit_values(connection)
        await connection.execute(_ADD_TO_ROLLUPS)
    return inserted


async def settle_staged(connection: AsyncConnection, *, makes_buckets: bool) -> None:
    """Settles what the entries that `book_staged` has inserted charge to budgets; comes last in the transaction.

    `makes_buckets` is as in `settle_charges`.
    """
    rows = await connection.execute(_SUM_CHARGES)
    await settle_charges(connection, [ChargeSum(*row) for row in rows], makes_buckets=makes_buckets)


async def _admit_values(connection: AsyncConnection) -> None:
    """One transaction at a time, so that what one refuses for want of room no other admits later."""
    if (await connection.execute(_FIND_FRESH_VALUE)).first() is not None:
        await connection.execute(_LOCK_VALUES, {"lock": VALUES_LOCK})
        await connection.execute(_ADMIT_VALUES)


async def _note_producers(
    connection: AsyncConnection, entries: Iterable[LedgerEntry], dead_letters: Iterable[DeadLetter]
) -> None:
    """These sequence numbers are accounted for: as entries, as duplicates of some, or as dead letters."""
    found: dict[int, list[int]] = defaultdict(list)
    for entry in entries:
        if entry.adjusts is None:
            found[entry.boot_id].append(entry.sequence)
    for letter in dead_letters:
        if letter.boot_id:
            found[letter.boot_id].append(letter.sequence)
    for boot_id in sorted(found):
        ranges = [Range(first, last, bounds="[]") for first, last in contiguous_ranges(found[boot_id])]
        await connection.execute(_NOTE_PRODUCER, {"boot_id": boot_id, "booked": ranges})


def contiguous_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The least number of ranges, both ends included, that hold just `numbers`."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and number <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


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
            "boot_id": letter.boot_id,
            "sequence": letter.sequence,
        }
        await connection.execute(_KEEP_DEAD_LETTER, values)


def _records(entries: list[LedgerEntry]) -> Iterator[tuple[Any, ...]]:
    """`entries` as rows of ENTRY_COLUMNS, with times and JSON in the form that COPY takes."""
    fields: dict[str, Iterable[Any]] = dict(zip(LedgerEntry._fields, zip(*entries, strict=True), strict=True))
    fields.update(zip(TOKEN_SUMS, zip(*(token_sums(entry.meters) for entry in entries), strict=True), strict=True))
    fields["duration_bucket"] = map(_duration_bucket, entries)
    fields["first_frame_bucket"] = map(_first_frame_bucket, entries)
    fields["basis"] = [basis or 0 for basis in fields["basis"]]
    for name in ("start_time", "first_frame_time", "end_time", "call_start_time"):
        fields[name] = map(_time, fields.pop(f"{name}_us"))
    fields["metadata"] = map(_json, fields["metadata"])
    fields["meters"] = map(_json, fields["meters"])
    fields["charges"] = map(_charges, fields["charges"])
    fields["key_owner"] = fields.pop("user")
    return zip(*(fields[name] for name in ENTRY_COLUMNS), strict=True)


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode() if value else "{}"


def _charges(charges: tuple[EntryCharge, ...]) -> str | None:
    """As the column `charges` of ledger_entry has them."""
    if not charges:
        return None
    return orjson.dumps([charge[:4] if charge.counts else charge[:5] for charge in charges]).decode()


def _time(time_us: int) -> datetime | None:
    return from_unix_us(time_us) if time_us else None


def _duration_bucket(entry: LedgerEntry) -> int | None:
    return _bucket(entry, entry.end_time_us)


def _first_frame_bucket(entry: LedgerEntry) -> int | None:
    return _bucket(entry, entry.first_frame_time_us)


def _bucket(entry: LedgerEntry, time_us: int) -> int | None:
    """Of the time from the call's start; None where the entry does not stand for a call that was tried."""
    if not time_us or not entry.final or entry.attempt == 0 or entry.adjusts is not None:
        return None
    return bucket_of(time_us - entry.call_start_time_us)


def _entry_insert() -> Insert:
    rows = select(*(STAGING.c[name] for name in ENTRY_COLUMNS)).order_by(STAGING.c.event_id)
    statement = insert(ledger_entry).from_select(ENTRY_COLUMNS, rows, include_defaults=False)
    return statement.on_conflict_do_nothing()


def _rollup_upsert() -> Select[Any]:
    """Adds what the staging table holds to groups, sums and latencies."""
    rows = keyed(STAGING).cte("keyed").prefix_with("MATERIALIZED")
    changes = [add_groups(rows), add_sums(rows), add_latencies(rows)]
    return select(literal(1)).add_cte(*(change.cte(f"change_{n}") for n, change in enumerate(changes)))


def _producer_upsert() -> Insert:
    statement = insert(ledger_producer)
    booked = ledger_producer.c.booked + statement.excluded.booked
    return statement.on_conflict_do_update(index_elements=["boot_id"], set_={"booked": booked, "last_time": func.now()})


def _dead_letter_upsert() -> Insert:
    statement = insert(ledger_dead_letter)
    deliveries = func.greatest(ledger_dead_letter.c.deliveries, statement.excluded.deliveries)
    return statement.on_conflict_do_update(
        index_elements=["subject", "stream_sequence", "event_index", "payload_digest"],
        set_={"deliveries": deliveries, "last_time": func.now()},
    )


STAGING = ledger_entry.to_metadata(MetaData(), name=_STAGING_NAME)
_DEFAULT = ledger_entry.to_metadata(MetaData(), name=DEFAULT_PARTITION)
_PARTITION_NAMES = text(
    "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'ledger_entry'::regclass"
    " UNION ALL SELECT relname FROM pg_class WHERE relname LIKE 'ledger\\_entry\\_%' AND relkind = 'r'"
    " AND NOT relispartition AND pg_table_is_visible(oid)"
    " UNION ALL SELECT table_name FROM ledger_detached_day"
)
_LOCK_PARTITIONS = text("SELECT pg_advisory_xact_lock(:lock)")
_LOCK_DEFAULT = text("LOCK TABLE ledger_entry_default IN ACCESS EXCLUSIVE MODE")
_ATTACH = "ALTER TABLE ledger_entry ATTACH PARTITION %(name)s FOR VALUES FROM ('%(first)s') TO ('%(end)s')"
# What is committed is acknowledged and then gone from NATS, so that a database told not to wait for its disk must wait.
_COMMIT_DURABLY = text(
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
_LOCK_DAY = text("SELECT pg_advisory_xact_lock(:space, :day)")
_LOCK_DAYS = text("SELECT pg_advisory_xact_lock_shared(:space, day) FROM unnest(CAST(:days AS integer[])) AS day")
_MAKE_STAGING = text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS ledger_entry_staging (LIKE ledger_entry INCLUDING DEFAULTS)"
    " ON COMMIT DELETE ROWS"
)
# What was let through while no control plane could be asked may not know its window: that of the bucket at the time of
# the entry, where there is one; until then the window 0, and whoever seeds the bucket later counts the entry in.
_FIND_WINDOWS = text(
    "UPDATE ledger_entry_staging s SET charges = (SELECT jsonb_agg(CASE WHEN c.value->>1 IS NULL AND c.value->>2 = '0'"
    " THEN jsonb_set(c.value, '{2}', to_jsonb(coalesce((SELECT b.window_start_ms FROM quota_bucket b"
    " WHERE b.bucket_id = (c.value->>0)::uuid AND b.window_start_ms <= t.ms"
    " AND coalesce(b.window_end_ms > t.ms, true) ORDER BY b.window_start_ms DESC LIMIT 1), 0)))"
    " ELSE c.value END ORDER BY c.ordinality)"
    " FROM jsonb_array_elements(s.charges) WITH ORDINALITY AS c,"
    " (SELECT (extract(epoch FROM s.start_time) * 1000)::bigint AS ms) AS t)"
    " WHERE s.charges IS NOT NULL"
)
_DROP_DUPLICATES = text(
    "DELETE FROM ledger_entry_staging s WHERE NOT EXISTS"
    " (SELECT FROM ledger_entry e WHERE e.event_id = s.event_id AND e.xmin = pg_current_xact_id()::xid)"
)
_SUM_CHARGES = text(
    "SELECT (c->>0)::uuid, (c->>2)::bigint, (c->>1)::uuid, sum((c->>3)::bigint)::bigint,"
    " coalesce(sum(s.cost_nano_usd) FILTER (WHERE jsonb_array_length(c) = 4), 0)::bigint"
    " FROM ledger_entry_staging s, jsonb_array_elements(s.charges) AS c WHERE s.charges IS NOT NULL"
    " GROUP BY 1, 2, 3"
)
_LOCK_VALUES = text("SELECT pg_advisory_xact_lock(:lock)")
_FIND_FRESH_VALUE = fresh_values(STAGING).limit(1)
_ADMIT_VALUES = admit_values(STAGING)
_INSERT_ENTRIES = _entry_insert()
_ADD_TO_ROLLUPS = _rollup_upsert()
_NOTE_PRODUCER = _producer_upsert()
_KEEP_DEAD_LETTER = _dead_letter_upsert()
_SETTLE_LETTERS = text("DELETE FROM ledger_dead_letter WHERE letter_id = ANY(CAST(:settled AS bigint[]))")


def _translated(error: Exception) -> Exception | None:
    """What `error` means for the batch: its data cannot be taken, the schema is not as expected, or none of these."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(cause, "sqlstate", None) or ""
    if sqlstate == _CHECK_VIOLATION:
        return PartitionAppeared()
    if sqlstate.startswith(_DATA_ERROR_CLASSES) or isinstance(cause, ValueError | OverflowError):
        return EntriesRejected(f"the database refused it ({type(cause).__name__} {sqlstate})")
    if sqlstate.startswith(_SCHEMA_ERROR_CLASS):
        return Unavailable(f"the ledger's tables are not as expected ({type(cause).__name__} {sqlstate})")
    return None
