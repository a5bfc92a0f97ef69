"""Sessions: of each process only the latest stream counts, on whichever control plane it is."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.quota.session import Holder


class Fenced(Exception):
    """Another stream of the process, or nobody, has the session: nothing of this one counts any more."""


class SessionRepository:
    """Raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def leave(self, holder: Holder) -> None:
        """The stream of `holder` has ended."""
        async with self._database.transaction() as connection:
            await connection.execute(_LEAVE, {"boot_id": holder.boot_id, "generation": holder.generation})

    async def touch(self, holders: Iterable[Holder]) -> int:
        """These streams are alive; returns how many data planes are, on all control planes."""
        found = list(holders)
        boot_ids, generations = [h.boot_id for h in found], [h.generation for h in found]
        async with self._database.transaction() as connection:
            await connection.execute(_TOUCH, {"boot_ids": boot_ids, "generations": generations})
            return int((await connection.execute(_COUNT_FLEET)).scalar_one())

    async def gone(self, holder: Holder) -> list[int]:
        """Boot ids of other processes of the node that are not connected and still have leases."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_GONE, {"node": holder.node, "boot_id": holder.boot_id})
            return list(rows.scalars())


async def take_session(connection: AsyncConnection, holder: Holder) -> None:
    """The session becomes that of `holder`. Raises Fenced where a later stream has it already."""
    values = {"boot_id": holder.boot_id, "node": holder.node, "generation": holder.generation}
    if (await connection.execute(_TAKE, values)).first() is None:
        raise Fenced


async def fence(connection: AsyncConnection, holder: Holder) -> tuple[int, int]:
    """Holds the session of `holder` until the commit; the database's time, and since when no rate was lost.

    Both are Unix microseconds; the second is 0 where none ever was. Raises Fenced.
    """
    row: Any = (await connection.execute(_FENCE, {"boot_id": holder.boot_id})).first()
    if row is None or row.generation != holder.generation:
        raise Fenced
    if row.since_us is not None:
        return row.now_us, row.since_us
    return row.now_us, (await connection.execute(_MARK_RATES, {"since_us": row.now_us})).scalar_one()


# A process that is stopped between two statements must not keep others waiting for its locks.
_FENCE = text(
    "SELECT set_config('lock_timeout', '2s', true), set_config('statement_timeout', '5s', true),"
    " set_config('idle_in_transaction_session_timeout', '2s', true),"
    " s.generation, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us,"
    " (SELECT since_us FROM quota_rate_mark) AS since_us"
    " FROM quota_session s WHERE s.boot_id = :boot_id FOR SHARE OF s"
)
# Whoever empties the unlogged tables, a crash of the server or a standby that takes over, takes the mark away too.
_MARK_RATES = text(
    "INSERT INTO quota_rate_mark AS m (since_us) VALUES (:since_us)"
    " ON CONFLICT (is_only) DO UPDATE SET since_us = m.since_us RETURNING since_us"
)
_TAKE = text(
    "INSERT INTO quota_session AS s (boot_id, node, generation, connected) VALUES (:boot_id, :node, :generation, true)"
    " ON CONFLICT (boot_id) DO UPDATE SET node = excluded.node, generation = excluded.generation, connected = true,"
    " seen_time = now() WHERE s.generation < excluded.generation RETURNING s.boot_id"
)
_LEAVE = text(
    "UPDATE quota_session SET connected = false, seen_time = now()"
    " WHERE boot_id = :boot_id AND generation = :generation"
)
_TOUCH = text(
    "UPDATE quota_session s SET seen_time = now(), connected = true"
    " FROM unnest(CAST(:boot_ids AS bigint[]), CAST(:generations AS bigint[])) AS t(boot_id, generation)"
    " WHERE s.boot_id = t.boot_id AND s.generation = t.generation"
)
_COUNT_FLEET = text("SELECT count(*) FROM quota_session WHERE connected AND seen_time > now() - interval '15 seconds'")
_GONE = text(
    "SELECT s.boot_id FROM quota_session s WHERE s.node = :node AND s.boot_id <> :boot_id"
    " AND NOT (s.connected AND s.seen_time > now() - interval '15 seconds')"
    " AND EXISTS (SELECT FROM quota_lease l WHERE l.boot_id = s.boot_id AND l.state <> 5)"
)
