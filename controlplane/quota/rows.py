"""What the authority keeps, as values: buckets, leases, rates. Amounts are nano-USD, requests, tokens or slots."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from controlplane.quota.gcra import Rate


class Kind(IntEnum):
    """The mechanism of a bucket; numbers are what the database holds."""

    BUDGET = 1
    RATE = 2
    SLOTS = 3


class LeaseState(IntEnum):
    """Numbers are what the database holds."""

    OPEN = 1
    ENDED = 2
    """Given back; what is outstanding was used, and its usage is on the way."""
    SUSPENSE = 3
    """Its holder is gone; what is outstanding may or may not have been used."""
    PROVISIONAL = 4
    """In suspense for too long: what is outstanding counts as spent until its producer proves less."""
    CLOSED = 5


class BucketKey(NamedTuple):
    """Identity of a bucket in one window; in this order buckets are locked."""

    bucket_id: uuid.UUID
    window_start_ms: int


@dataclass(frozen=True, slots=True)
class BucketName:
    """What a bucket is of: see tollway.kernel.rules."""

    bucket_id: uuid.UUID
    rule: str
    generation: str
    limit: int
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A bucket as the configuration of this moment has it.

    `cap` is the whole limit. `rate` is there for rates alone. `window_end_ms` is None where there is no end.
    """

    name: BucketName
    kind: Kind
    cap: int
    window_start_ms: int = 0
    window_end_ms: int | None = None
    rate: Rate | None = None

    @property
    def key(self) -> BucketKey:
        return BucketKey(self.name.bucket_id, self.window_start_ms)


@dataclass(frozen=True, slots=True)
class BucketRow:
    """One bucket of a budget in one window, or of slots.

    `spent` is written by the ledger's booking alone. `escrow` is the sum of what is outstanding of its leases, apart
    from those that are provisional, whose sum is `provisional`. `seeded` says that `spent` holds what the ledger had
    before. `starved_us` is when somebody last was refused what others hold.
    """

    key: BucketKey
    name: BucketName
    kind: Kind
    cap: int
    spent: int = 0
    escrow: int = 0
    provisional: int = 0
    seeded: bool = False
    starved_us: int = 0

    @property
    def available(self) -> int:
        return max(0, self.cap - self.spent - self.provisional - self.escrow)

    @property
    def is_over(self) -> bool:
        """Whether more is spent and held than the cap, as after it was lowered."""
        return self.spent + self.provisional + self.escrow > self.cap


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """What one process was granted of one bucket, in totals since the lease began."""

    lease_id: uuid.UUID
    key: BucketKey
    node: str
    boot_id: int
    granted: int
    settled: int
    returned: int
    state: LeaseState
    expires_us: int

    @property
    def outstanding(self) -> int:
        """Granted, and neither settled nor returned; whichever of the two comes first."""
        return max(0, self.granted - self.settled - self.returned)

    @property
    def escrow(self) -> int:
        return 0 if self.state in (LeaseState.CLOSED, LeaseState.PROVISIONAL) else self.outstanding

    @property
    def provisional(self) -> int:
        return self.outstanding if self.state is LeaseState.PROVISIONAL else 0


@dataclass(frozen=True, slots=True)
class RateRow:
    """The TAT of one rate's bucket, and who asked for it in the period of HOLDERS_US that began at `period_us`."""

    bucket_id: uuid.UUID
    tat_us: int
    period_us: int = 0
    holders: tuple[int, ...] = ()
    earlier_holders: int = 0


def key_arrays(keys: Iterable[BucketKey]) -> dict[str, list[Any]]:
    """`keys` in order, as the parameters `key_ids` and `windows` of a statement."""
    ordered = sorted(keys)
    return {"key_ids": [key.bucket_id for key in ordered], "windows": [key.window_start_ms for key in ordered]}
