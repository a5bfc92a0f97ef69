"""What a bucket of slots promises: no more calls at once than there are slots."""

from tests.simulation.rules import Rule
from tests.simulation.trace import Violation


class SlotWatch:
    """Running calls of one bucket. Those of a data plane that was cut off until its leases ended are excused."""

    def __init__(self, rule: Rule, amounts: list[tuple[int, int]]) -> None:
        self._rule = rule
        self._amounts = amounts
        self._running: set[int] = set()
        self._excused: set[int] = set()
        self._excused_until_us = 0

    @property
    def _amount(self) -> int:
        """The largest that was in force."""
        return max(amount for _, amount in self._amounts)

    def began(self, now_us: int, call_id: int) -> None:
        """Raises Violation when it is one too many."""
        if now_us < self._excused_until_us:
            self._excused.add(call_id)
            return
        self._running.add(call_id)
        if len(self._running) > self._amount:
            raise Violation("slots", f"{self._rule.name}: {len(self._running)} calls at once, {self._amount} slots")

    def ended(self, call_id: int) -> None:
        self._running.discard(call_id)
        self._excused.discard(call_id)

    def excuse(self, call_id: int) -> None:
        if call_id in self._running:
            self._running.discard(call_id)
            self._excused.add(call_id)

    def excuse_all(self, until_us: int) -> None:
        """The database lost commits: what was granted is not known until its holders tell."""
        self._excused |= self._running
        self._running.clear()
        self._excused_until_us = until_us
