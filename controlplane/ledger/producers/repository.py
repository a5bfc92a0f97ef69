"""Producers' progress: what is booked of each, and since when the message stream holds nothing older."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, any_, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from controlplane.db.engine import Database
from controlplane.ledger.tables import ledger_producer, ledger_stream_mark

Ranges = tuple[tuple[int, int], ...]
"""Ranges of sequence numbers in order, both ends included."""


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """One look at the database, at its time `now`.

    What NATS had accepted before `drained_through` has left the stream by now; None while that is not known.
    """

    now: datetime
    drained_through: datetime | None
    booked: dict[int, Ranges]


class ProducerProgress:
    """Reads and marks progress; raises Unavailable while the database is away."""

    def __init__(self, database: Database, stream: str) -> None:
        self._database = database
        self._stream = stream

    async def read(self, boot_ids: Collection[int]) -> ProgressReading:
        """What is committed of these producers, which need not be known."""
        async with self._database.transaction() as connection:
            # The mark comes first: whatever it proves to have left the stream is committed before it.
            now, drained_through = (await connection.execute(_READ_MARK, {"stream": self._stream})).one()
            rows = await connection.execute(_READ_BOOKED, {"boot_ids": sorted(boot_ids)})
            booked = {row.boot_id: tuple((r.lower, r.upper - 1) for r in row.booked) for row in rows}
        return ProgressReading(now, drained_through, booked)

    async def complete(self, boot_ids: Collection[int]) -> None:
        """Note that all there will ever be of these producers, which need not be known, is booked."""
        async with self._database.transaction() as connection:
            await connection.execute(_COMPLETE, [{"boot_id": boot_id} for boot_id in sorted(boot_ids)])

    async def read_time(self) -> datetime:
        """The database's time."""
        async with self._database.transaction() as connection:
            now: datetime = (await connection.execute(_READ_TIME)).scalar_one()
        return now

    async def mark_drained(self, through: datetime) -> None:
        """Note that everything accepted before `through`, a time that `read_time` gave, has left the stream."""
        async with self._database.transaction() as connection:
            await connection.execute(_MARK_DRAINED, {"stream": self._stream, "drained_through": through})


_READ_TIME = text("SELECT clock_timestamp()")
_READ_MARK = select(
    func.clock_timestamp(),
    select(ledger_stream_mark.c.drained_through)
    .where(ledger_stream_mark.c.stream == bindparam("stream"))
    .scalar_subquery(),
)
_READ_BOOKED = select(ledger_producer.c.boot_id, ledger_producer.c.booked).where(
    ledger_producer.c.boot_id == any_(bindparam("boot_ids", type_=ARRAY(BigInteger)))
)
_COMPLETE = text(
    "INSERT INTO ledger_producer AS p (boot_id, booked, complete_time) VALUES (:boot_id, '{}', now())"
    " ON CONFLICT (boot_id) DO UPDATE SET complete_time = coalesce(p.complete_time, now())"
)
_INSERT_MARK = insert(ledger_stream_mark)
_MARK_DRAINED = _INSERT_MARK.on_conflict_do_update(
    index_elements=["stream"],
    set_={
        "drained_through": func.greatest(ledger_stream_mark.c.drained_through, _INSERT_MARK.excluded.drained_through)
    },
)
