"""Grants of budgets and slots: rights to spend, in escrow until they are used or come back. Pure."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from controlplane.quota.rows import BucketKey, BucketRow, BucketSpec, Kind, LeaseRow, LeaseState
from controlplane.quota.situation import Situation, Wish
from controlplane.quota.terms import SHARE_DIVISOR, TERMS
from controlplane.quota.workbook import Workbook
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_EXHAUSTED, GRANT_RESULT_GRANTED, GRANT_RESULT_UNKNOWN, Grant, Recall

_RENEWABLE = (LeaseState.OPEN, LeaseState.SUSPENSE, LeaseState.PROVISIONAL)


@dataclass(slots=True)
class EscrowDesk:
    """Serves the asks and returns of one Update that are about budgets and slots."""

    situation: Situation
    book: Workbook

    def take_back(self, lease: LeaseRow, bucket_id: uuid.UUID, total: int, is_final: bool) -> None:
        """Notes that `total` of a lease has come back."""
        if lease.boot_id != self.situation.holder.boot_id or lease.key.bucket_id != bucket_id:
            return
        bucket = self.book.bucket(lease.key)
        self.book.put_lease(returned_lease(lease, total, is_final, bucket is not None and bucket.kind is Kind.SLOTS))

    def free_expired_slots(self, asked: Iterable[uuid.UUID]) -> None:
        """Slots of holders that did not renew them; those that this Update asks for are about to be renewed."""
        kept = set(asked)
        for lease in self.book.rows.leases.values():
            bucket = self.book.bucket(lease.key)
            is_own = lease.lease_id in kept and lease.boot_id == self.situation.holder.boot_id
            if bucket is not None and bucket.kind is Kind.SLOTS and not is_own:
                self._free_expired(lease.lease_id)

    def answer(self, spec: BucketSpec, wish: Wish) -> Grant:
        bucket = self.book.bucket(spec.key)
        if bucket is None:
            bucket = BucketRow(spec.key, spec.name, spec.kind, spec.cap, seeded=spec.kind is Kind.SLOTS)
        bucket = replace(bucket, cap=spec.cap)
        self.book.put_bucket(bucket)
        if not bucket.seeded:
            return Grant(bucket_id=spec.name.bucket_id.bytes, result=GRANT_RESULT_UNKNOWN)
        lease = self._own_lease(wish.lease_id, spec.key)
        holders = self.book.rows.holders.get(spec.key, 0) + (lease is None)
        share = bucket.available // (SHARE_DIVISOR * max(1, holders))
        amount = wish.amount(share, bucket.available)
        if amount is None or (lease is None and not amount):
            return self._refuse(spec, bucket, lease, wish)
        grant = self._grant(spec, self._renew(spec, lease or self._new_lease(spec.key), amount))
        grant.per_call = wish.is_small(share)
        return grant

    def recalls(self, leases: Iterable[uuid.UUID]) -> Iterator[Recall]:
        """Leases of this holder that are of past windows or changed rules, or of buckets over their cap."""
        for lease_id in leases:
            lease = self.book.lease(lease_id)
            bucket = None if lease is None else self.book.bucket(lease.key)
            if lease is None or bucket is None or lease.boot_id != self.situation.holder.boot_id:
                continue
            spec = self.situation.specs.get(lease.key.bucket_id)
            is_current = spec is not None and spec.key == lease.key
            if lease.state is LeaseState.OPEN and lease.outstanding and (not is_current or bucket.is_over):
                yield Recall(bucket_id=lease.key.bucket_id.bytes, lease_id=lease.lease_id.bytes, keep_at_most=0)

    def _refuse(self, spec: BucketSpec, bucket: BucketRow, lease: LeaseRow | None, wish: Wish) -> Grant:
        """Refusing more is no reason to let expire what is held."""
        if wish.need and bucket.escrow > (0 if lease is None else lease.escrow):
            self.book.put_bucket(replace(bucket, starved_us=self.situation.now_us))
        terms = TERMS[spec.kind]
        grant = self._grant(spec, None if lease is None else self._renew(spec, lease, 0))
        grant.result = GRANT_RESULT_EXHAUSTED
        grant.is_reserved = bucket.available + bucket.escrow >= max(1, wish.need)
        grant.deny_ms = terms.deny_ms + self.situation.sources.random_below(terms.deny_spread_ms)
        return grant

    def _grant(self, spec: BucketSpec, lease: LeaseRow | None) -> Grant:
        """What every answer says, after what it changes is in the book."""
        bucket = self.book.bucket(spec.key)
        ttl_ms = self._ttl_ms(spec)
        return Grant(
            bucket_id=spec.name.bucket_id.bytes,
            lease_id=b"" if lease is None else lease.lease_id.bytes,
            result=GRANT_RESULT_GRANTED,
            granted_total=0 if lease is None else lease.granted,
            ttl_ms=ttl_ms,
            refresh_ms=min(TERMS[spec.kind].refresh_ms, max(1, ttl_ms // 3)),
            limit=spec.cap,
            remaining=0 if bucket is None else bucket.available,
            resets_in_ms=self._resets_in_ms(spec),
            window_start_ms=spec.window_start_ms,
        )

    def _renew(self, spec: BucketSpec, lease: LeaseRow, amount: int) -> LeaseRow:
        expires_us = self.situation.now_us + self._ttl_ms(spec) * 1000
        renewed = replace(lease, granted=lease.granted + amount, state=LeaseState.OPEN, expires_us=expires_us)
        self.book.put_lease(renewed)
        return renewed

    def _own_lease(self, lease_id: uuid.UUID | None, key: BucketKey) -> LeaseRow | None:
        lease = None if lease_id is None else self.book.lease(lease_id)
        if lease is None or lease.key != key or lease.boot_id != self.situation.holder.boot_id:
            return None
        return lease if lease.state in _RENEWABLE else None

    def _new_lease(self, key: BucketKey) -> LeaseRow:
        holder, now_us = self.situation.holder, self.situation.now_us
        lease_id = self.situation.sources.new_id()
        return LeaseRow(lease_id, key, holder.node, holder.boot_id, 0, 0, 0, LeaseState.OPEN, now_us)

    def _free_expired(self, lease_id: uuid.UUID) -> None:
        lease = self.book.lease(lease_id)
        assert lease is not None
        if lease.state is LeaseState.OPEN and lease.expires_us <= self.situation.now_us:
            self.book.put_lease(replace(lease, state=LeaseState.CLOSED))

    def _resets_in_ms(self, spec: BucketSpec) -> int:
        return 0 if spec.window_end_ms is None else max(1, spec.window_end_ms - self.situation.now_us // 1000)

    def _ttl_ms(self, spec: BucketSpec) -> int:
        """A lease does not outlive its window."""
        ttl_ms = TERMS[spec.kind].ttl_ms
        return ttl_ms if spec.window_end_ms is None else min(ttl_ms, self._resets_in_ms(spec))


def returned_lease(lease: LeaseRow, total: int, is_final: bool, is_slots: bool) -> LeaseRow:
    """`lease` after `total` of it came back; after a final return only usage that is on its way is held."""
    lease = replace(lease, returned=max(lease.returned, min(total, lease.granted)))
    if not is_final or lease.state is LeaseState.CLOSED:
        return lease
    return replace(lease, state=LeaseState.ENDED if lease.outstanding and not is_slots else LeaseState.CLOSED)
