"""Rows under change: what was loaded, and what of it is to be stored. Pure."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controlplane.quota.rows import BucketKey, BucketRow, LeaseRow, RateRow


@dataclass(frozen=True, slots=True)
class Rows:
    """What `load` read, under the locks of its buckets.

    `holders` counts the open leases of a bucket, maybe as of some seconds ago: it shapes fairness alone. A rate without
    a row was empty at `rates_since_us`; 0 when none was ever lost.
    """

    buckets: Mapping[BucketKey, BucketRow] = field(default_factory=dict)
    leases: Mapping[uuid.UUID, LeaseRow] = field(default_factory=dict)
    rates: Mapping[uuid.UUID, RateRow] = field(default_factory=dict)
    holders: Mapping[BucketKey, int] = field(default_factory=dict)
    rates_since_us: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What `store` writes. Of buckets it writes all but `spent` and `seeded`, which are not the authority's."""

    buckets: tuple[BucketRow, ...] = ()
    leases: tuple[LeaseRow, ...] = ()
    rates: tuple[RateRow, ...] = ()


class Workbook:
    """Keeps the sums of a bucket equal to what its leases say with every change of one."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._buckets: dict[BucketKey, BucketRow] = {}
        self._leases: dict[uuid.UUID, LeaseRow] = {}
        self._rates: dict[uuid.UUID, RateRow] = {}

    def bucket(self, key: BucketKey) -> BucketRow | None:
        return self._buckets.get(key) or self.rows.buckets.get(key)

    def lease(self, lease_id: uuid.UUID) -> LeaseRow | None:
        return self._leases.get(lease_id) or self.rows.leases.get(lease_id)

    def rate(self, bucket_id: uuid.UUID) -> RateRow | None:
        return self._rates.get(bucket_id) or self.rows.rates.get(bucket_id)

    def put_bucket(self, bucket: BucketRow) -> None:
        if bucket != self.bucket(bucket.key):
            self._buckets[bucket.key] = bucket

    def put_rate(self, rate: RateRow) -> None:
        if rate != self.rate(rate.bucket_id):
            self._rates[rate.bucket_id] = rate

    def put_lease(self, lease: LeaseRow) -> None:
        """The bucket of `lease` must be there."""
        before = self.lease(lease.lease_id)
        if lease == before:
            return
        bucket = self.bucket(lease.key)
        assert bucket is not None
        escrow = bucket.escrow + lease.escrow - (0 if before is None else before.escrow)
        provisional = bucket.provisional + lease.provisional - (0 if before is None else before.provisional)
        self.put_bucket(replace(bucket, escrow=escrow, provisional=provisional))
        self._leases[lease.lease_id] = lease

    def changes(self) -> Changes:
        return Changes(tuple(self._buckets.values()), tuple(self._leases.values()), tuple(self._rates.values()))
