"""What of a booking was booked before its day was detached: the primary key cannot tell that any more.

A day's own table tells, as long as it is kept. Where it is gone, the numbers tell that are booked of the producer; a
number that is a dead letter's stands for no entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import DDL, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.partitions import Partition, partition_of


class ProducerForgotten(Exception):
    """An entry's day is gone from the database, and so is what is known of its producer."""

    def __init__(self) -> None:
        super().__init__(
            "the entries of its day are gone from the database and its producer is forgotten:"
            " whether it was booked cannot be told"
        )


@dataclass(frozen=True, slots=True)
class Detached:
    """A day whose partition is not in the ledger's table; `is_kept` while it is in the database."""

    partition: Partition
    is_kept: bool


async def unfold_days(connection: AsyncConnection, days: Sequence[date]) -> list[Detached]:
    """Have `days`, which the caller has locked, folded anew; returns those that are detached until it commits."""
    rows = await connection.execute(_UNFOLD_DAYS, {"days": days})
    return [Detached(partition_of(row.day), row.is_kept) for row in rows]


async def drop_booked(connection: AsyncConnection, detached: Detached) -> None:
    """Take out of the staging table what is booked of that day. Raises ProducerForgotten."""
    bounds = {"first": detached.partition.first, "end": detached.partition.end}
    if detached.is_kept:
        context = {"name": detached.partition.name, **bounds}
        await connection.execute(DDL(_DROP_KEPT, context=context))  # type: ignore[no-untyped-call]
        return
    await connection.execute(_DROP_NOTED, bounds)
    if (await connection.execute(_FIND_FORGOTTEN, bounds)).first() is not None:
        raise ProducerForgotten


# Reading the empty parent keeps partitions from being detached until the commit.
_UNFOLD_DAYS = text(
    "WITH unfolded AS (UPDATE usage_day SET folded = false, change_time = now()"
    " WHERE folded AND day = ANY(CAST(:days AS date[])))"
    " SELECT d.day, c.oid IS NOT NULL AS is_kept FROM unnest(CAST(:days AS date[])) AS d(day)"
    " LEFT JOIN pg_class c ON c.oid = to_regclass('ledger_entry_' || to_char(d.day, 'YYYYMMDD'))"
    " LEFT JOIN ledger_detached_day r ON r.day = d.day"
    " WHERE (NOT c.relispartition OR (c.oid IS NULL AND r.day IS NOT NULL))"
    " AND NOT EXISTS (SELECT FROM ONLY ledger_entry) ORDER BY d.day"
)
_DROP_KEPT = (
    "DELETE FROM ledger_entry_staging s USING %(name)s d WHERE d.event_id = s.event_id"
    " AND s.event_id >= '%(first)s' AND s.event_id < '%(end)s'"
)
_BOUNDS = (bindparam("first", type_=Uuid), bindparam("end", type_=Uuid))
# A producer that is known since before the horizon was not forgotten; a younger row may be of one that was.
_FIND_FORGOTTEN = text(
    "SELECT true FROM ledger_entry_staging s WHERE s.event_id >= :first AND s.event_id < :end AND s.adjusts IS NULL"
    " AND EXISTS (SELECT FROM ledger_producer_horizon h WHERE s.start_time < h.forgotten_before AND NOT EXISTS"
    " (SELECT FROM ledger_producer p WHERE p.boot_id = s.boot_id AND p.first_time < h.forgotten_before)) LIMIT 1"
).bindparams(*_BOUNDS)
_DROP_NOTED = text(
    "DELETE FROM ledger_entry_staging s WHERE s.event_id >= :first AND s.event_id < :end AND s.adjusts IS NULL"
    " AND EXISTS (SELECT FROM ledger_producer p WHERE p.boot_id = s.boot_id AND p.booked @> s.sequence)"
    " AND NOT EXISTS"
    " (SELECT FROM ledger_dead_letter l WHERE l.boot_id = s.boot_id AND l.sequence = s.sequence)"
).bindparams(*_BOUNDS)
