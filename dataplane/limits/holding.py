"""What this process holds of one bucket: leases, what running calls have reserved of them, and who waits. Pure.

Times are milliseconds of the monotonic clock that callers read. Amounts are integers in the unit of the bucket.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dataplane.limits.buckets import HORIZON_MS, Bucket, Kind
from dataplane.limits.local_share import LocalShare

if TYPE_CHECKING:
    from dataplane.limits.reservations import Reservation

REFUND_MS: Final = 60_000
"""For how long after its admission a call gives back to a rate what it did not use."""
_SHORTEST_MEASURE_MS: Final = {Kind.BUDGET: 2_000, Kind.RATE: 500, Kind.SLOTS: 500}
_REFILL_PART: Final = 3
_LIGHT_HORIZONS: Final = 12
_LIGHT_PART: Final = 16
"""Of what a rate gives in a second: what comes to less may be held for many horizons."""
_SECOND_MS: Final = 1_000
_SLOTS_SPARE_PART: Final = 5
_DENIED_LATELY_MS: Final = 1_000
_DEBT_PART: Final = 2


@dataclass(slots=True, eq=False)
class Lease:
    """A grant of a part of a bucket. Totals since it began: `granted`, `returned`, `used`; `reserved` is held now.

    An ending lease admits nothing more, and gives back whatever comes free.
    """

    id: bytes
    window_start_ms: int
    expires_ms: int
    refresh_ms: int
    granted: int = 0
    returned: int = 0
    used: int = 0
    reserved: int = 0
    is_ending: bool = False
    told_returned: int = 0
    is_final_told: bool = False

    @property
    def free(self) -> int:
        """What is neither used nor reserved; below 0 when calls used more than was granted."""
        return self.granted - self.returned - self.used - self.reserved

    def give_back(self, keep: int = 0) -> None:
        """Returns what is free beyond `keep`."""
        self.returned += max(0, self.free - keep)


@dataclass(slots=True)
class Denied:
    """The last refusal: needs of `threshold` and above are of no use until `until_ms`."""

    until_ms: int = 0
    threshold: int = 0
    is_reserved: bool = False


@dataclass(slots=True)
class Standing:
    """What the last grant said of the whole bucket; 0 where it said nothing. `ends_ms` is when a window is over."""

    limit: int = 0
    remaining: int = 0
    resets_ms: int = 0
    seen_ms: int = 0
    window_start_ms: int = 0


@dataclass(slots=True, eq=False)
class Holding:
    """State of one bucket. Of its leases `current` alone admits calls; `ending` are given back as calls settle.

    `debt` is what calls took of a rate beyond their leases; the next grant pays it. `unleased` counts slots that calls
    took while no lease was to be had.
    """

    bucket: Bucket
    last_used_ms: int
    current: Lease | None = None
    ending: list[Lease] = field(default_factory=list)
    waiting: "deque[Reservation]" = field(default_factory=deque)
    denied: Denied = field(default_factory=Denied)
    standing: Standing = field(default_factory=Standing)
    share: LocalShare = field(default_factory=LocalShare)
    debt: int = 0
    unleased: int = 0
    per_call: bool = False
    burn: int = 0
    consumed: int = 0
    measured_ms: int = 0
    asked_sequence: int = 0
    asked_need: int = 0
    ask_from_ms: int = 0
    look_ms: int = 0
    is_retired: bool = False

    @property
    def leases(self) -> list[Lease]:
        return self.ending if self.current is None else [*self.ending, self.current]

    @property
    def reserved(self) -> int:
        return sum(lease.reserved for lease in self.leases)

    def balance(self, now_ms: int) -> int:
        """What the next call may reserve at most; below 0 where earlier ones used more than was granted."""
        lease, owed = self.current, self.debt + self.unleased
        if lease is None or now_ms >= lease.expires_ms:
            return -owed
        return lease.granted - lease.returned - lease.used - lease.reserved - owed

    def shortfall(self, now_ms: int) -> int:
        """What is missing for the first call that waits and is not covered, after all before it; 0 when none is.

        Calls also wait for other buckets: what they need of this one may be there. A debt is paid in parts: all of it
        at once may be more than a rate ever gives.
        """
        left = self.balance(now_ms)
        for reservation in self.waiting:
            amount = reservation.amount_of(self)
            left -= amount
            if left < 0:
                return min(-left, max(amount, self.bucket.most // _DEBT_PART)) if self.debt else -left
        return 0

    def covers(self, amount: int, now_ms: int) -> bool:
        return amount <= 0 or self.balance(now_ms) >= amount

    def take(self, amount: int, now_ms: int) -> Lease | None:
        """Reserves `amount`, which must be covered; None where nothing is needed and there is no lease."""
        self.last_used_ms = now_ms
        self.consumed += amount
        lease = self.current
        if lease is None or now_ms >= lease.expires_ms:
            return None
        lease.reserved += amount
        return lease

    def settle(self, lease: Lease, reserved: int, actual: int, age_ms: int) -> None:
        """Ends a reservation of `reserved` from `lease`, made `age_ms` ago, which used `actual`."""
        lease.reserved -= reserved
        kind = self.bucket.kind
        if kind is Kind.BUDGET:
            lease.used += actual
            self.consumed += actual - reserved
        elif kind is Kind.RATE:
            counted = actual if age_ms <= REFUND_MS else reserved
            beyond = counted - reserved
            self.consumed += beyond
            lease.used += min(counted, reserved)
            if beyond > 0:
                self.debt += beyond
            if self.debt:
                self.pay_debt()
        if lease.is_ending:
            lease.give_back()

    def is_stale(self, now_ms: int) -> bool:
        """Whether it is a part of a rate whose time is over: it must not be used at a later time."""
        lease = self.current
        return self.bucket.kind is Kind.RATE and lease is not None and now_ms >= lease.expires_ms

    def pay_debt(self) -> None:
        """Takes what calls used beyond their leases out of what is held now."""
        lease = self.current
        if self.debt and lease is not None and lease.free > 0:
            paid = min(self.debt, lease.free)
            lease.used += paid
            self.debt -= paid

    def owe(self, amount: int, now_ms: int) -> None:
        """Notes what a call takes of a rate while there is no lease; never more than the limit gives at once."""
        if now_ms - self.last_used_ms > self.bucket.window_ms:
            self.debt = 0
        self.last_used_ms = now_ms
        self.debt = min(self.debt + amount, self.bucket.burst)

    def denies(self, shortfall: int, now_ms: int) -> bool:
        """Whether it is of no use to ask for `shortfall` now."""
        return now_ms < self.denied.until_ms and shortfall >= self.denied.threshold

    def was_denied(self, shortfall: int, now_ms: int) -> bool:
        """Whether the last answer was that `shortfall` is not to be had, a moment ago."""
        until_ms = self.denied.until_ms
        return until_ms > 0 and now_ms < until_ms + _DENIED_LATELY_MS and shortfall >= self.denied.threshold

    @property
    def may_come_free(self) -> bool:
        """Whether running calls hold what is missing of a budget: they will not need all of it."""
        return self.denied.is_reserved and self.bucket.kind is Kind.BUDGET

    def lends(self, lease_id: bytes) -> Lease | None:
        """The lease of that id, if it is held."""
        return next((lease for lease in self.leases if lease.id == lease_id), None)

    def wants(self, need: int, now_ms: int) -> int:
        """What should be asked for beyond what is held, so that it lasts; never less than `need`."""
        if self.per_call:
            return need
        if self.bucket.kind is Kind.SLOTS:
            return need + max(1, self.reserved // _SLOTS_SPARE_PART) if need else 0
        self._measure(now_ms)
        if not self.burn:
            # Calls that come first are taken for the pace of the others.
            self.burn = need * HORIZON_MS[self.bucket.kind] // _SHORTEST_MEASURE_MS[self.bucket.kind]
        return max(need, self.burn * self._horizons - max(0, self.balance(now_ms)))

    @property
    def _horizons(self) -> int:
        """For how many horizons to ask: for many where they come to next to nothing of a rate, so that asks are few."""
        bucket = self.bucket
        held = self.burn * _LIGHT_HORIZONS * _LIGHT_PART * bucket.window_ms
        return _LIGHT_HORIZONS if bucket.kind is Kind.RATE and held <= bucket.amount * _SECOND_MS else 1

    def _measure(self, now_ms: int) -> None:
        """How much goes in a horizon, at the pace since the last measure: quick to rise, slow to fall."""
        shortest_ms, elapsed_ms = _SHORTEST_MEASURE_MS[self.bucket.kind], now_ms - self.measured_ms
        burn = max(0, self.consumed) * HORIZON_MS[self.bucket.kind] // max(shortest_ms, elapsed_ms)
        if elapsed_ms < shortest_ms:
            self.burn = max(self.burn, burn)
        else:
            self.burn = max(burn, (3 * self.burn + burn) // 4)
            self.consumed, self.measured_ms = 0, now_ms

    def is_low(self, now_ms: int) -> bool:
        """Whether it is time to ask for more before a call has to wait."""
        if self.balance(now_ms) * _REFILL_PART >= self.burn or self.burn <= 0:
            return False
        return not (self.per_call or self.bucket.kind is Kind.SLOTS or now_ms < self.denied.until_ms)
