"""What one call takes of its buckets: all of it or nothing, and each part settled exactly once. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.holding import Holding, Lease


class Reason(Enum):
    """Why a bucket does not admit a call; the value labels metrics."""

    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    CROWDED = "crowded"


@dataclass(frozen=True, slots=True)
class Denial:
    """What a bucket says to a call that it does not admit. Times are milliseconds from then on, 0 where unknown.

    `is_reserved` is True where running calls hold what is missing. `limit` and `remaining` are of the whole bucket.
    """

    bucket: Bucket
    reason: Reason
    retry_after_ms: int
    is_reserved: bool = False
    limit: int = 0
    remaining: int = 0
    resets_in_ms: int = 0


class Way(Enum):
    """How a need was met."""

    NOT_YET = "not yet"
    LEASED = "leased"
    UNLEASED = "unleased"
    LOCAL_SHARE = "local share"
    EXCEEDED = "exceeded"
    """The rule is in audit mode and would have refused the call."""


@dataclass(slots=True, eq=False)
class Need:
    """What a call needs of one bucket: an upper bound, or what it is expected to take; held from `admitted_ms`."""

    holding: Holding
    amount: int
    way: Way = Way.NOT_YET
    lease: Lease | None = None
    admitted_ms: int = 0
    is_settled: bool = False

    @property
    def lease_id(self) -> bytes:
        """Of the lease that a charge is to name; empty without one."""
        return b"" if self.lease is None else self.lease.id

    @property
    def window_start_ms(self) -> int:
        """Unix milliseconds of the window that the call was admitted in; 0 where none is known, or it was over then."""
        if self.lease is not None:
            return self.lease.window_start_ms
        standing = self.holding.standing
        return 0 if standing.resets_ms and self.admitted_ms >= standing.resets_ms else standing.window_start_ms


class State(Enum):
    NEW = "new"
    WAITING = "waiting"
    HELD = "held"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(slots=True, eq=False)
class Reservation:
    """The needs of one admission. While it waits, its needs hold nothing."""

    needs: Sequence[Need]
    state: State = State.NEW
    denial: Denial | None = None
    deadline_ms: int = 0

    def amount_of(self, holding: Holding) -> int:
        """What it still waits for of one bucket; 0 when it waits no more."""
        if self.state is not State.WAITING:
            return 0
        return sum(need.amount for need in self.needs if need.holding is holding)


def exhausted(holding: Holding, now_ms: int) -> Denial:
    """What the last refusal said, as of now."""
    standing, denied = holding.standing, holding.denied
    resets_in_ms = max(0, standing.resets_ms - now_ms) if standing.resets_ms else 0
    wait_ms = max(1, denied.until_ms - now_ms)
    if holding.bucket.kind is Kind.BUDGET and not denied.is_reserved:
        wait_ms = resets_in_ms
    return Denial(
        holding.bucket,
        Reason.EXHAUSTED,
        wait_ms,
        denied.is_reserved,
        standing.limit or holding.bucket.amount,
        standing.remaining,
        resets_in_ms,
    )
