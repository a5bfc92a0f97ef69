"""Brings leases to what their holder says with Hello. Pure: between a load and a store of rows, as `authority.py`.

What was granted beyond what the holder has seen never arrived, and is free at once. What it holds and the database
does not know, because the database lost commits, is put back before anything is granted. What it does not hold though
it had it may be used and on its way, and goes into suspense, as do the leases of processes of the node that are gone.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from controlplane.quota.authority import Decision
from controlplane.quota.rows import BucketKey, BucketRow, BucketSpec, Kind, LeaseRow, LeaseState
from controlplane.quota.session import RateLease, SessionMemory, read_id
from controlplane.quota.situation import Situation, Specs, Wanted, read_amount
from controlplane.quota.terms import SUSPENSE_US, TERMS
from controlplane.quota.workbook import Workbook
from tollway.quota.v1.quota_pb2 import HeldLease, Hello, LeaseResponse


def wanted_by(hello: Hello, specs: Specs) -> Wanted:
    """Buckets and leases that `hello` names; `load` adds those of the process and of those before it on the node.

    Raises InvalidMessage.
    """
    held = [lease for lease in hello.held if not _is_rate(lease, specs)]
    return Wanted(
        buckets=frozenset(_key(lease) for lease in held),
        leases=frozenset(read_id(lease.lease_id, "lease_id") for lease in held),
    )


def reconcile(hello: Hello, situation: Situation, gone: Collection[int]) -> Decision:
    """What `hello` changes; `gone` are boot ids of processes of the node that are no more. Raises InvalidMessage."""
    book, specs = Workbook(situation.rows), situation.specs
    rates = [_rate_lease(held, situation.now_us) for held in hello.held if _is_rate(held, specs)]
    reconciler = _Reconciler(situation, book)
    told = [held for held in hello.held if not _is_rate(held, specs)]
    for held in told:
        reconciler.hold(held)
    seen = {read_id(held.lease_id, "lease_id") for held in told}
    for lease in situation.rows.leases.values():
        if lease.boot_id == situation.holder.boot_id and lease.lease_id not in seen:
            reconciler.miss(lease)
        elif lease.boot_id in gone:
            reconciler.suspend(lease)
    return Decision(LeaseResponse(), book.changes(), tuple(rates))


def learn_held(hello: Hello, memory: SessionMemory) -> None:
    """Raises InvalidMessage."""
    memory.learn(held.bucket for held in hello.held)


@dataclass(frozen=True, slots=True)
class _Reconciler:
    situation: Situation
    book: Workbook

    def hold(self, held: HeldLease) -> None:
        lease = self.book.lease(read_id(held.lease_id, "lease_id"))
        if lease is None:
            self._recover(held)
        elif lease.boot_id == self.situation.holder.boot_id and lease.key == _key(held):
            self._align(lease, held)

    def miss(self, lease: LeaseRow) -> None:
        """A lease that its holder does not know, or knows no more."""
        bucket = self.book.bucket(lease.key)
        if bucket is not None and bucket.kind is Kind.SLOTS:
            self.book.put_lease(replace(lease, state=LeaseState.CLOSED))
        elif lease.state is LeaseState.OPEN and not lease.settled and not lease.returned:
            self.book.put_lease(replace(lease, returned=lease.granted, state=LeaseState.CLOSED))
        elif lease.state is LeaseState.OPEN:
            self.suspend(lease)

    def suspend(self, lease: LeaseRow) -> None:
        """Of a budget; slots come free when they expire, calls of a process that is gone have ended."""
        bucket = self.book.bucket(lease.key)
        if bucket is not None and bucket.kind is Kind.BUDGET:
            self.book.put_lease(suspended(lease, self.situation.now_us))

    def _align(self, lease: LeaseRow, held: HeldLease) -> None:
        granted = min(lease.granted, read_amount(held.granted_total, "granted_total"))
        returned = max(lease.returned, min(read_amount(held.returned_total, "returned_total"), granted))
        lease = replace(lease, granted=granted, returned=returned)
        if lease.state is not LeaseState.ENDED and lease.outstanding:
            lease = replace(lease, state=LeaseState.OPEN, expires_us=self._expires_us(lease.key))
        self.book.put_lease(lease)

    def _recover(self, held: HeldLease) -> None:
        spec = self.situation.specs.get(_key(held).bucket_id)
        if spec is None:
            return
        granted = read_amount(held.granted_total, "granted_total")
        returned = min(read_amount(held.returned_total, "returned_total"), granted)
        key, holder = _key(held), self.situation.holder
        if self.book.bucket(key) is None:
            self.book.put_bucket(BucketRow(key, spec.name, spec.kind, spec.cap, seeded=spec.kind is Kind.SLOTS))
        lease_id = read_id(held.lease_id, "lease_id")
        expires_us = self._expires_us(key)
        self.book.put_lease(
            LeaseRow(lease_id, key, holder.node, holder.boot_id, granted, 0, returned, LeaseState.OPEN, expires_us)
        )

    def _expires_us(self, key: BucketKey) -> int:
        bucket = self.book.bucket(key)
        kind = Kind.BUDGET if bucket is None else bucket.kind
        return self.situation.now_us + TERMS[kind].ttl_ms * 1000


def suspended(lease: LeaseRow, now_us: int) -> LeaseRow:
    """`lease` after its holder has gone; `expires_us` is then when it counts as spent."""
    if lease.state not in (LeaseState.OPEN, LeaseState.ENDED):
        return lease
    if not lease.outstanding:
        return replace(lease, state=LeaseState.CLOSED)
    return replace(lease, state=LeaseState.SUSPENSE, expires_us=now_us + SUSPENSE_US)


def _key(held: HeldLease) -> BucketKey:
    return BucketKey(read_id(held.bucket.bucket_id, "bucket_id"), held.window_start_ms)


def _is_rate(held: HeldLease, specs: Specs) -> bool:
    spec: BucketSpec | None = specs.get(read_id(held.bucket.bucket_id, "bucket_id"))
    return spec is not None and spec.kind is Kind.RATE


def _rate_lease(held: HeldLease, now_us: int) -> RateLease:
    granted = read_amount(held.granted_total, "granted_total")
    returned = min(read_amount(held.returned_total, "returned_total"), granted)
    lease_id, bucket_id = read_id(held.lease_id, "lease_id"), read_id(held.bucket.bucket_id, "bucket_id")
    return RateLease(lease_id, bucket_id, granted, returned, now_us)
