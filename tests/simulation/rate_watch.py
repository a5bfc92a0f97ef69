"""What a rate's bucket promises: how much is admitted in any window.

Bound: amount + burst + amount/window x H/k, which is out in chunks, and what calls gave back in the window.
"""

from collections import deque

from tests.simulation.rules import Rule
from tests.simulation.trace import Violation

_HORIZON_US = 2_000_000
_SHARES = 2


class RateWatch:
    """Admissions of one bucket: a reservation counts when it is made, what comes back allows more."""

    def __init__(self, rule: Rule, amounts: list[tuple[int, int]]) -> None:
        self._rule = rule
        self._amounts = amounts
        self._admitted: deque[tuple[int, int]] = deque()
        self._returned: deque[tuple[int, int]] = deque()
        self._admitted_sum = 0
        self._returned_sum = 0
        self.total = 0

    @property
    def _amount(self) -> int:
        """The largest that was in force."""
        return max(amount for _, amount in self._amounts)

    def bound(self) -> int:
        window_us = self._rule.window_ms * 1_000
        burst = self._rule.burst or self._amount
        return self._amount + burst + -(-self._amount * _HORIZON_US // (window_us * _SHARES))

    def admitted(self, now_us: int, units: int) -> None:
        """Raises Violation when it is too much."""
        self._admitted.append((now_us, units))
        self._admitted_sum += units
        self.total += units
        self._slide(now_us - self._rule.window_ms * 1_000)
        if self._admitted_sum > self.bound() + self._returned_sum:
            raise Violation(
                "Q1",
                f"{self._rule.name} admitted {self._admitted_sum} in {self._rule.window_ms} ms, "
                f"more than {self.bound()} and {self._returned_sum} given back",
            )

    def ended(self, now_us: int, reserved: int, took: int) -> None:
        """A call is over. What it took beyond its reservation was admitted by nobody; later calls pay for it."""
        self.total += took - reserved
        if took < reserved:
            self._returned.append((now_us, reserved - took))
            self._returned_sum += reserved - took

    def _slide(self, start_us: int) -> None:
        while self._admitted[0][0] < start_us:
            self._admitted_sum -= self._admitted.popleft()[1]
        while self._returned and self._returned[0][0] < start_us:
            self._returned_sum -= self._returned.popleft()[1]
