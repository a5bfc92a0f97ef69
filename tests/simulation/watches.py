"""Looks at every commit and every call of a fleet, and knows nothing of how the product counts."""

import uuid
from collections import defaultdict
from collections.abc import Iterable

from controlplane.quota.rows import BucketKey, Kind, LeaseState
from tests.simulation.budget_watch import BudgetWatch
from tests.simulation.database import Change
from tests.simulation.leases import BUCKET, ENTRY, LEASE
from tests.simulation.rate_watch import RateWatch
from tests.simulation.rules import Rule
from tests.simulation.slot_watch import SlotWatch
from tests.simulation.timeline import Timeline
from tests.simulation.usage_queue import Charge

_OVER = (LeaseState.ENDED, LeaseState.CLOSED)


class Watches:
    """One watch for each bucket that somebody used."""

    def __init__(self, timeline: Timeline, rules: Iterable[Rule]) -> None:
        self.budgets: dict[BucketKey, BudgetWatch] = {}
        self.rates: dict[uuid.UUID, RateWatch] = {}
        self.slots: dict[uuid.UUID, SlotWatch] = {}
        self._timeline = timeline
        self._rules = {rule.name: rule for rule in rules}
        self._caps: dict[str, list[tuple[int, int]]] = {rule.name: [(0, rule.amount)] for rule in rules}
        self._rule_of: dict[uuid.UUID, Rule] = {}

    def budget(self, key: BucketKey) -> BudgetWatch:
        if key not in self.budgets:
            rule = self._rule_of[key.bucket_id]
            self.budgets[key] = BudgetWatch(rule, self._caps[rule.name])
        return self.budgets[key]

    def know(self, rule: Rule, bucket_id: uuid.UUID) -> None:
        """To be called before anything is asked of the bucket."""
        if bucket_id in self._rule_of:
            return
        self._rule_of[bucket_id] = rule
        if rule.kind.is_rate:
            self.rates[bucket_id] = RateWatch(rule, self._caps[rule.name])
        elif not rule.kind.is_budget:
            self.slots[bucket_id] = SlotWatch(rule, self._caps[rule.name])

    def amount_changed(self, rule: str, amount: int) -> None:
        self._caps[rule].append((self._timeline.now_us, amount))

    def charged(self, call_id: int, charge: Charge, true: int) -> None:
        """An attempt goes out which truly costs `true`, and holds `charge`. Raises Violation."""
        key = BucketKey(charge.bucket_id, charge.window_start_ms)
        self.budget(key).began(call_id, true, charge.amount_nano_usd)

    def committed(self, changes: list[Change]) -> None:
        """Raises Violation."""
        granted: defaultdict[BucketKey, int] = defaultdict(int)
        for change in changes:
            if change.table == LEASE:
                self._lease_changed(change, granted)
            elif change.table == ENTRY:
                self._entry_changed(change, granted)
        for change in changes:
            row = change.after or change.before
            if change.table == BUCKET and row.kind is Kind.BUDGET:
                granted[row.key] += 0
                self.budget(row.key).row_changed(change.before, change.after)
        for key, amount in granted.items():
            self.budget(key).committed(self._timeline.now_us, amount)

    def _lease_changed(self, change: Change, granted: defaultdict[BucketKey, int]) -> None:
        if self._is_budget(change):
            key = (change.after or change.before).key
            watch = self.budget(key)
            more = watch.lease_changed(change.before, change.after)
            if more < 0 and change.before.state is not LeaseState.CLOSED:
                # A database that lost commits does not know of the grant until its holder tells.
                watch.lost -= more
            watch.lost += _unlisted_nano_usd(change)
            granted[key] += max(0, more)

    def _entry_changed(self, change: Change, granted: defaultdict[BucketKey, int]) -> None:
        event = change.after or change.before
        sign = 1 if change.after is not None else -1
        for charge in event.charges:
            key = BucketKey(charge.bucket_id, charge.window_start_ms)
            self.budget(key).booked(event.event_id, sign * charge.amount_nano_usd)
            granted[key] += 0

    def _is_budget(self, change: Change) -> bool:
        rule = self._rule_of.get((change.after or change.before).key.bucket_id)
        return rule is not None and rule.kind.is_budget


def _unlisted_nano_usd(change: Change) -> int:
    """What was used of a lease whose end is in a commit that the database lost: its holder lists it no more."""
    before, after = change.before, change.after
    if before is None or after is None or before.state not in _OVER or after.state is not LeaseState.OPEN:
        return 0
    return int(max(0, before.granted - before.returned - after.settled))
