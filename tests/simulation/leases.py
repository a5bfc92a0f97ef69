"""Indexes over the lease table, kept up with every commit, as a database would have them."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping

from controlplane.quota.rows import BucketKey, LeaseRow, LeaseState
from tests.simulation.database import Change, Database

BUCKET, LEASE, SESSION, RATE, SETTING = "bucket", "lease", "session", "rate", "setting"
ENTRY, PRODUCER = "entry", "producer"


class LeaseIndex:
    """Ids of leases that are not closed, by bucket and by the process that holds them."""

    def __init__(self, database: Database) -> None:
        self.leases: Mapping[uuid.UUID, LeaseRow] = database.table(LEASE)  # type: ignore[assignment]
        self.by_bucket: defaultdict[BucketKey, set[uuid.UUID]] = defaultdict(set)
        self._by_holder: defaultdict[int, set[uuid.UUID]] = defaultdict(set)
        self._boots: defaultdict[str, set[int]] = defaultdict(set)
        database.watch(self._follow)

    def holders(self, key: BucketKey) -> int:
        """How many leases of the bucket are open."""
        return sum(1 for lease_id in self.by_bucket.get(key, ()) if self.leases[lease_id].state is LeaseState.OPEN)

    def held_by(self, boot_ids: Iterable[int]) -> set[uuid.UUID]:
        return {lease_id for boot_id in boot_ids for lease_id in self._by_holder.get(boot_id, ())}

    def boots_of(self, node: str) -> set[int]:
        """Processes of a node that have, or had, leases."""
        return self._boots[node]

    def open_ids(self) -> list[uuid.UUID]:
        """Of all leases that are not closed, in order."""
        return sorted(lease_id for leases in self.by_bucket.values() for lease_id in leases)

    def _follow(self, changes: list[Change]) -> None:
        for change in changes:
            if change.table == LEASE:
                self._move(change.before, change.after)

    def _move(self, before: LeaseRow | None, after: LeaseRow | None) -> None:
        if before is not None:
            self.by_bucket[before.key].discard(before.lease_id)
            self._by_holder[before.boot_id].discard(before.lease_id)
        if after is not None and after.state is not LeaseState.CLOSED:
            self.by_bucket[after.key].add(after.lease_id)
            self._by_holder[after.boot_id].add(after.lease_id)
            self._boots[after.node].add(after.boot_id)
