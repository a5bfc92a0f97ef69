"""Holds bookings at a chosen moment, by triggers of the test in the database: production code knows nothing of it.

The consumer writes what it has accounted for (ledger_producer) last, after entries and sums. A trigger there that waits
for an advisory lock holds a transaction after its inserts; a deferred one holds it within COMMIT, past everything that
its client could still change.
"""

import enum
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tests.chaos.waiting import until

_HELD_WITHIN_S = 60.0
_ENDED_WITHIN_S = 30.0
_INSTALL = """
CREATE OR REPLACE FUNCTION chaos_hold() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint); RETURN NULL; END $$;
DROP TRIGGER IF EXISTS chaos_before_commit ON ledger_producer;
CREATE TRIGGER chaos_before_commit AFTER INSERT OR UPDATE ON ledger_producer
    FOR EACH ROW EXECUTE FUNCTION chaos_hold('7001');
DROP TRIGGER IF EXISTS chaos_in_commit ON ledger_producer;
CREATE CONSTRAINT TRIGGER chaos_in_commit AFTER INSERT OR UPDATE ON ledger_producer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chaos_hold('7002');
"""
_REMOVE = """
DROP TRIGGER IF EXISTS chaos_before_commit ON ledger_producer;
DROP TRIGGER IF EXISTS chaos_in_commit ON ledger_producer;
DROP FUNCTION IF EXISTS chaos_hold();
"""
_HELD = """
SELECT a.backend_xid::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND NOT l.granted AND l.objid = $1 AND a.backend_xid IS NOT NULL
"""
_STATUS = "SELECT pg_xact_status(($1::text)::xid8)"


class Moment(enum.IntEnum):
    """Where bookings are held; the number is that of the lock."""

    BEFORE_COMMIT = 7001
    IN_COMMIT = 7002


@dataclass(slots=True)
class CommitGate:
    """Open unless within `closed`."""

    connection: asyncpg.Connection

    @asynccontextmanager
    async def closed(self, moment: Moment) -> AsyncIterator[None]:
        """No booking gets past `moment`."""
        await self.connection.execute("SELECT pg_advisory_lock($1)", int(moment))
        try:
            yield
        finally:
            await self.connection.execute("SELECT pg_advisory_unlock($1)", int(moment))

    async def wait_held(self, moment: Moment) -> list[str]:
        """Until a booking is held there; the transactions' ids. Raises CampaignFailed."""
        held: list[str] = []

        async def is_held() -> bool:
            held[:] = [row[0] for row in await self.connection.fetch(_HELD, int(moment))]
            return bool(held)

        await until(is_held, _HELD_WITHIN_S, f"a booking to be held {moment.name}")
        return held

    async def wait_ended(self, transactions: Sequence[str]) -> list[str]:
        """Until they have ended; "committed" or "aborted" for each. Raises CampaignFailed."""
        statuses: list[str] = []

        async def have_ended() -> bool:
            statuses[:] = [await self.connection.fetchval(_STATUS, each) for each in transactions]
            return "in progress" not in statuses

        await until(have_ended, _ENDED_WITHIN_S, "held bookings to end")
        return statuses


@asynccontextmanager
async def commit_gate(database_url: str) -> AsyncIterator[CommitGate]:
    """Installed, and gone in the end."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_INSTALL)
        try:
            yield CommitGate(connection)
        finally:
            await connection.execute(_REMOVE)
    finally:
        await connection.close()
