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
_SHORTEST_MEASURE_MS: Final = {Kind.BUDGET: 1_000, Kind.RATE: 100, Kind.SLOTS: 100}
_REFILL_PART: Final = 3
_SLOTS_SPARE_PART: Final = 5


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

    def admits(self, now_ms: int) -> bool:
        return now_ms < self.expires_ms and not self.is_ending

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
    """State of one bucket. `debt` is what calls took of a rate beyond their leases; the next grant pays it.

    `unleased` counts slots that calls took while no lease was to be had.
    """

    bucket: Bucket
    last_used_ms: int
    leases: list[Lease] = field(default_factory=list)
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

    def balance(self, now_ms: int) -> int:
        """What the next call may reserve at most; below 0 where earlier ones used more than was granted."""
        if self.bucket.kind is Kind.BUDGET:
            free = [lease.free for lease in self.leases if lease.admits(now_ms)]
            return max(free) if free else 0
        free_sum = 0
        for lease in self.leases:
            if lease.admits(now_ms):
                free_sum += lease.free
        return free_sum - self.debt

    def covers(self, amount: int, now_ms: int) -> bool:
        return amount <= 0 or self.balance(now_ms) >= amount

    def take(self, amount: int, now_ms: int) -> list[tuple[Lease, int]]:
        """Reserves `amount`, which must be covered: the leases that it is of, and how much of each.

        Money is of one lease always, and so is a charge; of a rate those that expire first are used first.
        """
        self.last_used_ms = now_ms
        self.consumed += amount
        parts: list[tuple[Lease, int]] = []
        for lease in self.leases:
            if not lease.admits(now_ms) or lease.free < (amount if self.bucket.kind is Kind.BUDGET else 1):
                continue
            part = min(amount, lease.free)
            lease.reserved += part
            parts.append((lease, part))
            amount -= part
            if amount <= 0:
                break
        return parts

    def settle(self, parts: list[tuple[Lease, int]], actual: int, age_ms: int, now_ms: int) -> None:
        """Ends a reservation made `age_ms` ago, which used `actual`."""
        for lease, part in parts:
            lease.reserved -= part
        if self.bucket.kind is Kind.BUDGET:
            parts[0][0].used += actual
            self.consumed += actual - parts[0][1]
        elif self.bucket.kind is Kind.RATE:
            self._settle_rate(parts, actual, age_ms, now_ms)
        for lease, _ in parts:
            if lease.is_ending:
                lease.give_back()

    def _settle_rate(self, parts: list[tuple[Lease, int]], actual: int, age_ms: int, now_ms: int) -> None:
        """Differences count for as long as a minute; then the window that they belong to has passed."""
        reserved = sum(part for _, part in parts)
        if age_ms > REFUND_MS:
            actual = reserved
        left = actual
        for lease, part in parts:
            used = min(left, part)
            lease.used += used
            left -= used
            if not lease.admits(now_ms):
                lease.returned += part - used
        self.consumed += actual - reserved
        self.debt += left
        self.pay_debt(now_ms)

    def pay_debt(self, now_ms: int) -> None:
        """Takes what calls used beyond their leases out of what is held now."""
        for lease in self.leases:
            if not self.debt:
                return
            if lease.admits(now_ms) and lease.free > 0:
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
        return now_ms < self.denied.until_ms and shortfall >= self.denied.threshold

    def lends(self, lease_id: bytes) -> Lease | None:
        """The lease of that id, if it is held."""
        return next((lease for lease in self.leases if lease.id == lease_id), None)

    @property
    def current(self) -> Lease | None:
        """The lease that a grant would add to."""
        for lease in reversed(self.leases):
            if not lease.is_ending:
                return lease
        return None

    @property
    def reserved(self) -> int:
        return sum(lease.reserved for lease in self.leases)

    def wants(self, need: int, now_ms: int) -> int:
        """What should be asked for beyond what is held, so that it lasts; never less than `need`."""
        if self.per_call:
            return need
        if self.bucket.kind is Kind.SLOTS:
            return need + max(1, self.reserved // _SLOTS_SPARE_PART)
        elapsed_ms = max(_SHORTEST_MEASURE_MS[self.bucket.kind], now_ms - self.measured_ms)
        burn = max(0, self.consumed) * HORIZON_MS[self.bucket.kind] // elapsed_ms
        self.burn = max(burn, (3 * self.burn + burn) // 4)
        self.consumed, self.measured_ms = 0, now_ms
        return max(need, self.burn - max(0, self.balance(now_ms)))

    def is_low(self, now_ms: int) -> bool:
        """Whether it is time to ask for more before a call has to wait."""
        if self.per_call or self.bucket.kind is Kind.SLOTS or now_ms < self.denied.until_ms:
            return False
        return self.burn > 0 and self.balance(now_ms) * _REFILL_PART < self.burn
