"""What a budget's bucket promises, in one period.

Bookkeeping: escrow and provisional spend are the sums of its leases, spent is the sum of what was booked.
I1: spent + escrow <= cap + overage, and a grant never passes the cap.
I2: what calls truly cost <= spent + escrow + what calls that are not booked cost beyond what they held. Where booked
calls passed what they held, their excess may have used up what was held for others, until those are booked too.
Strict: what calls truly cost <= cap.
"""

from dataclasses import dataclass

from controlplane.quota.rows import BucketRow, LeaseRow
from tests.simulation.rules import Kind, Rule
from tests.simulation.timeline import SECOND_US
from tests.simulation.trace import Violation

# For how long control planes may still grant by an amount that was changed.
_CONFIGURED_US = 3 * SECOND_US


@dataclass(slots=True)
class _Cost:
    """What one call truly costs, what it holds, and what was booked of it."""

    true: int
    held: int
    booked: int = 0

    @property
    def uncovered(self) -> int:
        return max(0, self.true - max(self.held, self.booked))

    @property
    def covered(self) -> int:
        """By what is held, as long as nothing is booked."""
        return 0 if self.booked else min(self.true, self.held)

    @property
    def excess(self) -> int:
        return max(0, self.booked - self.held)


class BudgetWatch:
    """Everything in nano-USD.

    `caps` are the amounts in force and since when; `lost` is what was granted in commits that the database lost.
    """

    def __init__(self, rule: Rule, caps: list[tuple[int, int]]) -> None:
        self._rule = rule
        self._caps = caps
        self._costs: dict[int, _Cost] = {}
        self._row: BucketRow | None = None
        self._escrow = self._provisional = self._overage = self._booked = 0
        self._uncovered = self._covered = self._excess = 0
        self.true = 0
        self.lost = 0
        self._prior = 0

    @property
    def spent(self) -> int:
        return self._row.spent if self._row else 0

    @property
    def escrow(self) -> int:
        return self._row.escrow if self._row else 0

    @property
    def highest_cap(self) -> int:
        return max(cap for _, cap in self._caps)

    def began(self, call_id: int, true: int, held: int) -> None:
        """An attempt goes out. Raises Violation."""
        cost = self._costs[call_id] = _Cost(true, held)
        self.true += true
        self._count(cost, 1)
        self._check_truth()

    def booked(self, call_id: int, amount: int) -> None:
        """The ledger has the charge; with a negative amount, it lost it again."""
        self._booked += amount
        cost = self._costs.get(call_id)
        if cost is not None:
            self._count(cost, -1)
            cost.booked += amount
            self._count(cost, 1)

    def lease_changed(self, before: LeaseRow | None, after: LeaseRow | None) -> int:
        """How much more is granted."""
        for lease, sign in ((before, -1), (after, 1)):
            if lease is not None:
                self._escrow += sign * lease.escrow
                self._provisional += sign * lease.provisional
                self._overage += sign * max(0, lease.settled + lease.returned - lease.granted)
        return (after.granted if after else 0) - (before.granted if before else 0)

    def row_changed(self, before: BucketRow | None, row: BucketRow | None) -> None:
        if row is not None and row.seeded and (before is None or not before.seeded):
            self._prior += row.spent - (before.spent if before else 0)
        elif before is not None and before.seeded and (row is None or not row.seeded):
            self._prior = 0
        self._row = row

    def committed(self, now_us: int, granted: int) -> None:
        """Everything of a commit is told, which granted so much more. Raises Violation."""
        self._check_books()
        self._check_cap(now_us, granted)
        self._check_truth()

    def _count(self, cost: _Cost, sign: int) -> None:
        self._uncovered += sign * cost.uncovered
        self._covered += sign * cost.covered
        self._excess += sign * cost.excess

    def _check_books(self) -> None:
        sums = (self.spent, self.escrow, self._row.provisional if self._row else 0)
        truth = (self._booked + self._prior, self._escrow, self._provisional)
        if sums != truth:
            raise Violation("books", f"{self._name}: spent, escrow, provisional are {sums}, their parts say {truth}")

    def _check_cap(self, now_us: int, granted: int) -> None:
        used = self.spent + self._escrow + self._provisional
        if used > max(self.highest_cap, self._prior) + self._overage + self.lost:
            raise Violation(
                "I1", f"{self._name}: spent and escrow are {used}, cap {self.highest_cap}, overage {self._overage}"
            )
        cap = self._cap_in_force(now_us)
        if granted > 0 and used > cap + self.lost:
            raise Violation("I1", f"{self._name}: {granted} were granted, spent and escrow are {used}, cap {cap}")

    def _cap_in_force(self, now_us: int) -> int:
        latest = [cap for since_us, cap in self._caps if since_us <= now_us - _CONFIGURED_US][-1:]
        return max(latest + [cap for since_us, cap in self._caps if since_us > now_us - _CONFIGURED_US])

    def _check_truth(self) -> None:
        covered = self.spent + self._escrow + self._provisional + self._uncovered + self.lost
        covered += min(self._covered, self._excess)
        if self.true > covered:
            raise Violation("I2", f"{self._name}: calls cost {self.true}, spent, escrow and uncovered are {covered}")
        if self._rule.kind is Kind.STRICT_BUDGET and self.true > self.highest_cap + self.lost:
            raise Violation("strict", f"{self._name}: calls cost {self.true}, the cap is {self.highest_cap}")

    @property
    def _name(self) -> str:
        return f"{self._rule.name} {self._row.key.window_start_ms if self._row else ''}".strip()
