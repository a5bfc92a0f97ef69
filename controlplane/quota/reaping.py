"""What becomes of leases that nobody renews. Pure.

A budget's lease whose holder is gone is in suspense: its usage may be in a spool that somebody takes over. It is closed
when the ledger has all that its producer ever wrote. Until then it holds what it held; after a quarter of an hour that
counts as spent, provisionally, and the gap is recorded: of a budget that only watches it is given up instead.
"""

from dataclasses import dataclass, replace

from controlplane.quota.reconciliation import suspended
from controlplane.quota.rows import Kind, LeaseRow, LeaseState
from controlplane.quota.terms import EXPIRY_GRACE_US


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a lease besides its row.

    `alive` says that its holder is connected, `complete` that the ledger has all usage that the holder will ever have
    had, `enforced` that the budget refuses calls.
    """

    kind: Kind
    alive: bool
    complete: bool
    enforced: bool


def reaped(lease: LeaseRow, standing: Standing, now_us: int) -> LeaseRow:
    """`lease` as it is to be at `now_us`; the same where nothing is due. May be repeated."""
    if lease.state is LeaseState.CLOSED:
        return lease
    if standing.kind is Kind.SLOTS:
        return _closed(lease) if lease.expires_us <= now_us else lease
    if standing.complete or (lease.state is not LeaseState.OPEN and not lease.outstanding):
        return _closed(lease)
    if standing.alive and lease.state is not LeaseState.SUSPENSE:
        return lease
    if lease.state is LeaseState.OPEN:
        return suspended(lease, now_us) if lease.expires_us + EXPIRY_GRACE_US <= now_us else lease
    if lease.state is LeaseState.ENDED:
        return suspended(lease, now_us)
    if lease.state is LeaseState.SUSPENSE and lease.expires_us <= now_us:
        return replace(lease, state=LeaseState.PROVISIONAL) if standing.enforced else _closed(lease)
    return lease


def _closed(lease: LeaseRow) -> LeaseRow:
    return replace(lease, state=LeaseState.CLOSED)
