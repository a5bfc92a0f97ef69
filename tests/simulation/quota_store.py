"""Transactions of the quota tables on the modelled database, as controlplane.quota.repository has them on Postgres.

Locks are taken in one order everywhere: session, entries, buckets, leases, each sorted.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.quota.reaping import Standing, reaped
from controlplane.quota.rows import BucketKey, BucketName, BucketRow, Kind, LeaseRow, LeaseState
from controlplane.quota.situation import Wanted
from controlplane.quota.workbook import Changes, Rows
from tests.simulation.database import Database, Place, Transaction
from tests.simulation.leases import BUCKET, ENTRY, LEASE, PRODUCER, RATE, SESSION, SETTING, LeaseIndex
from tests.simulation.timeline import SECOND_US, Timeline

RATES_LOST = "rates_since_us"


_ALIVE_US = 45 * SECOND_US


@dataclass(frozen=True, slots=True)
class SessionRow:
    """The newest stream of a process, and when it was last heard of."""

    generation: int
    seen_us: int


class QuotaStore:
    """`origin_us` is the database's time when the simulation begins, Unix microseconds."""

    is_ordered = True
    is_fenced = True

    def __init__(self, timeline: Timeline, database: Database, origin_us: int) -> None:
        self.database = database
        self.index = LeaseIndex(database)
        self.names: dict[uuid.UUID, BucketName] = {}
        self._timeline = timeline
        self._origin_us = origin_us

    def now_us(self) -> int:
        """Everybody's time is the database's."""
        return self._origin_us + self._timeline.now_us

    def bucket(self, key: BucketKey) -> BucketRow | None:
        """As it is committed."""
        found: BucketRow | None = self.database.table(BUCKET).get(key)
        return found

    def bucket_keys(self, wanted: Wanted) -> set[BucketKey]:
        """The buckets that are wanted, and those of wanted leases: a lease never changes its bucket."""
        leases = (self.index.leases.get(lease_id) for lease_id in wanted.leases)
        return set(wanted.buckets) | {lease.key for lease in leases if lease is not None}

    def lease_ids(self, wanted: Wanted) -> set[uuid.UUID]:
        """Those that are wanted, and all of slots, of which expired ones may be freed."""
        slots = (lease_id for key in wanted.slots for lease_id in self.index.by_bucket.get(key, ()))
        return set(wanted.leases) | set(slots)

    def places(self, buckets: Iterable[BucketKey], rates: Iterable[uuid.UUID] = ()) -> list[Place]:
        """What statement 1 locks, in order."""
        places: list[Place] = [(BUCKET, key) for key in buckets] + [(RATE, bucket_id) for bucket_id in rates]
        return sorted(places, key=_order) if self.is_ordered else places

    def lease_places(self, lease_ids: Iterable[uuid.UUID]) -> list[Place]:
        places: list[Place] = [(LEASE, lease_id) for lease_id in lease_ids]
        return sorted(places, key=_order) if self.is_ordered else places

    def read(
        self,
        transaction: Transaction,
        buckets: Iterable[BucketKey],
        leases: Iterable[uuid.UUID],
        rates: Iterable[uuid.UUID],
    ) -> Rows:
        """What `decide` is to see, under the locks."""
        keys = list(buckets)
        found_buckets = ((key, transaction.read(BUCKET, key)) for key in keys)
        found_leases = ((lease_id, transaction.read(LEASE, lease_id)) for lease_id in leases)
        found_rates = ((bucket_id, transaction.read(RATE, bucket_id)) for bucket_id in rates)
        return Rows(
            buckets={key: row for key, row in found_buckets if row is not None},
            leases={lease_id: row for lease_id, row in found_leases if row is not None},
            rates={bucket_id: row for bucket_id, row in found_rates if row is not None},
            holders={key: self.index.holders(key) for key in keys},
            rates_since_us=self.database.table(SETTING).get(RATES_LOST, 0),
        )

    def write(self, transaction: Transaction, changes: Changes) -> None:
        """Of buckets all but `spent` and `seeded`."""
        for bucket in changes.buckets:
            transaction.write(BUCKET, bucket.key, bucket)
        for lease in changes.leases:
            transaction.write(LEASE, lease.lease_id, lease)
        for rate in changes.rates:
            transaction.write(RATE, rate.bucket_id, rate)

    def prior(self, row: BucketRow) -> int:
        """What the ledger holds for a bucket without having charged it; the caller has its lock."""
        events = self.database.table(ENTRY).values()
        return sum(
            event.cost_nano_usd
            for event in events
            if row.name.values in ((), (event.key,))
            and not event.charges_to(row.key.bucket_id)
            and event.began_us >= row.key.window_start_ms * 1000
        )

    def open_leases(self, boot_ids: Iterable[int]) -> list[LeaseRow]:
        """Of these processes, with something outstanding."""
        leases = (self.index.leases[lease_id] for lease_id in sorted(self.index.held_by(boot_ids)))
        return [lease for lease in leases if lease.state is LeaseState.OPEN and lease.outstanding]

    def due_leases(self) -> list[tuple[BucketKey, uuid.UUID]]:
        """Of which `reaped` makes something else."""
        leases: list[LeaseRow] = [self.index.leases[lease_id] for lease_id in self.index.open_ids()]
        return [(lease.key, lease.lease_id) for lease in leases if self.reaped(lease) != lease]

    def is_connected(self, boot_id: int) -> bool:
        """Whether the process has said something lately."""
        session: SessionRow | None = self.database.table(SESSION).get(boot_id)
        return session is not None and self.now_us() - session.seen_us < _ALIVE_US

    def reaped(self, lease: LeaseRow) -> LeaseRow:
        bucket = self.bucket(lease.key)
        standing = Standing(
            kind=Kind.BUDGET if bucket is None else bucket.kind,
            alive=self.is_connected(lease.boot_id),
            complete=lease.boot_id in self.database.table(PRODUCER),
            enforced=True,
        )
        return reaped(lease, standing, self.now_us())


def _order(place: Place) -> tuple[str, object]:
    table, key = place
    return table, key
