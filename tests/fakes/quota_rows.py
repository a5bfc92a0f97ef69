"""The quota tables in memory, as the pure cores see them, and the ledger's part in them."""

import uuid
from dataclasses import dataclass, field, replace

from controlplane.quota.rows import BucketKey, BucketRow, LeaseRow, LeaseState, RateRow
from controlplane.quota.situation import Wanted
from controlplane.quota.workbook import Changes, Rows


@dataclass(slots=True)
class FakeQuotaTables:
    buckets: dict[BucketKey, BucketRow] = field(default_factory=dict)
    leases: dict[uuid.UUID, LeaseRow] = field(default_factory=dict)
    rates: dict[uuid.UUID, RateRow] = field(default_factory=dict)

    def load(self, wanted: Wanted, boot_ids: frozenset[int] = frozenset()) -> Rows:
        """The rows of `wanted`, and all leases of `boot_ids`, with their buckets."""
        leases = {
            lease.lease_id: lease
            for lease in self.leases.values()
            if lease.lease_id in wanted.leases or lease.key in wanted.slots or lease.boot_id in boot_ids
        }
        keys = wanted.buckets | {lease.key for lease in leases.values()}
        open_leases = [lease.key for lease in self.leases.values() if lease.state is LeaseState.OPEN]
        return Rows(
            buckets={key: self.buckets[key] for key in keys if key in self.buckets},
            leases=leases,
            rates={bucket_id: self.rates[bucket_id] for bucket_id in wanted.rates if bucket_id in self.rates},
            holders={key: open_leases.count(key) for key in keys},
        )

    def store(self, changes: Changes) -> None:
        for bucket in changes.buckets:
            known = self.buckets.get(bucket.key, replace(bucket, spent=0))
            self.buckets[bucket.key] = replace(bucket, spent=known.spent, seeded=known.seeded)
        self.leases.update((lease.lease_id, lease) for lease in changes.leases)
        self.rates.update((rate.bucket_id, rate) for rate in changes.rates)

    def book(self, lease_id: uuid.UUID, amount: int) -> None:
        """A charge, as the ledger's booking settles it."""
        before = self.leases[lease_id]
        after = replace(before, settled=before.settled + amount)
        self.leases[lease_id] = after
        bucket = self.buckets[before.key]
        self.buckets[before.key] = replace(
            bucket,
            spent=bucket.spent + amount,
            escrow=bucket.escrow + after.escrow - before.escrow,
            provisional=bucket.provisional + after.provisional - before.provisional,
        )
