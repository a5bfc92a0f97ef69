"""What one decision is made from, and what one ask says. Pure."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controlplane.quota.rows import BucketKey, BucketSpec
from controlplane.quota.session import Holder, InvalidMessage, SessionMemory, read_id
from controlplane.quota.terms import SHARE_DIVISOR
from controlplane.quota.workbook import Rows
from tollway.quota.v1.quota_pb2 import Ask

MAX_AMOUNT = 2**63 - 1

Specs = Mapping[uuid.UUID, BucketSpec | None]
"""By bucket id what the configuration says of a bucket, None for nothing."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where what is not in the rows comes from: fresh lease ids, and `random_below(n)` from 0 to n - 1."""

    new_id: Callable[[], uuid.UUID]
    random_below: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `load` is to read: these buckets and those of these leases, and all expired leases of `slots`."""

    buckets: frozenset[BucketKey] = frozenset()
    slots: frozenset[BucketKey] = frozenset()
    leases: frozenset[uuid.UUID] = frozenset()
    rates: frozenset[uuid.UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Situation:
    """Who speaks, what is remembered and known, and the rows that `wanted` named, locked; `now_us` is the database's
    time."""

    holder: Holder
    memory: SessionMemory
    specs: Specs
    rows: Rows
    now_us: int
    sources: Sources


@dataclass(frozen=True, slots=True)
class Wish:
    """One ask, read."""

    need: int
    want: int
    has: int
    lease_id: uuid.UUID | None

    @classmethod
    def of(cls, ask: Ask) -> "Wish":
        """Raises InvalidMessage."""
        need, want = read_amount(ask.need, "need"), read_amount(ask.want, "want")
        lease_id = read_id(ask.lease_id, "lease_id") if ask.lease_id else None
        return cls(need, max(need, want), max(0, ask.has), lease_id)

    def amount(self, share: int, there: int) -> int | None:
        """How much of what is `there` to grant; None when `need` is not there."""
        if there < self.need:
            return None
        return min(there, max(self.need, min(self.want, share) - self.has))

    def is_small(self, share: int) -> bool:
        """Whether the share is no more than a call or two."""
        return self.need > 0 and share < SHARE_DIVISOR * self.need


def read_amount(value: int, field_name: str) -> int:
    """Raises InvalidMessage."""
    if not 0 <= value <= MAX_AMOUNT:
        raise InvalidMessage(f"{field_name} {value} is not within 0 and {MAX_AMOUNT}")
    return value
