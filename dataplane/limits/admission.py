"""Whether a call may go out: the rules that it falls under, and what they hold for it.

A call whose leases cover it is admitted in one go, without I/O and without another task's turn.
"""

import time
from collections.abc import Sequence

from dataplane.call import Call, Outcome, Plan
from dataplane.limits.buckets import Buckets, Terms
from dataplane.limits.costs import CostBounds
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.demand import Demand
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.estimate import ModelLearning, size_of
from dataplane.limits.ticket import NO_TICKET, LimitedTicket, Ticket, TicketOffice
from dataplane.snapshot import Target, VirtualKey


class Admits:
    """Admits calls by the rules of the snapshot that each pins. One per process."""

    def __init__(self, desk: LeaseDesk, counts: AdmissionCounts) -> None:
        self._office = TicketOffice(desk, counts)
        self._buckets = Buckets()
        self._learning = ModelLearning()
        self._bounds = CostBounds()

    async def admit(self, outcome: Outcome, plan: Plan) -> Ticket:
        """The ticket of a call that may go out; `outcome.limits` tells what it fell under, also when it may not.

        Raises RateLimitExceeded, BudgetExceeded, LimitTooSmall, PriceUnknown and QuotaUnavailable.
        """
        call, key = outcome.call, outcome.principal.key
        index = call.snapshot.limits
        if not index.rules:
            return NO_TICKET
        terms = self._buckets.at_call(call, key)
        at_attempts = self._at_attempts(call, key, plan) if index.has_attempt_rules else {}
        if not terms and not at_attempts:
            return NO_TICKET
        targets = _distinct(plan.targets)
        demand = Demand(call, size_of(call, targets), self._learning, self._bounds, _unix_ms)
        ticket = outcome.limits = LimitedTicket(self._office, demand, terms, at_attempts)
        await ticket.admit(targets)
        return ticket

    def _at_attempts(self, call: Call, key: VirtualKey, plan: Plan) -> dict[str, Terms]:
        """What attempts at each upstream of `plan` fall under, where they fall under anything, by the upstream's id."""
        upstreams = {target.upstream.id for target in plan.targets}
        found = {upstream: self._buckets.at_attempt(call, key, upstream) for upstream in upstreams}
        return {upstream: terms for upstream, terms in found.items() if terms}


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _distinct(targets: Sequence[Target]) -> Sequence[Target]:
    first = targets[0]
    if all(target is first for target in targets):
        return (first,)
    return list({id(target): target for target in targets}.values())
