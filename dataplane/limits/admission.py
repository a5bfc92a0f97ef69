"""Whether a call may go out: the rules that it falls under, and what they hold for it.

A call whose leases cover it is admitted in one go, without I/O and without another task's turn.
"""

import time

from dataplane.call import Call, Outcome, Plan, Principal
from dataplane.limits.buckets import Buckets
from dataplane.limits.costs import CostBounds
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.demand import Demand
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.estimate import ModelLearning, size_of
from dataplane.limits.ticket import NO_TICKET, LimitedTicket, Ticket, TicketOffice
from dataplane.rules import MatchedRules
from tollway.kernel.rules import Subject


class Admits:
    """Admits calls by the rules of the snapshot that each pins. One per process."""

    def __init__(self, desk: LeaseDesk, counts: AdmissionCounts) -> None:
        self._office = TicketOffice(desk, Buckets(), counts)
        self._learning = ModelLearning()
        self._bounds = CostBounds()

    async def admit(self, outcome: Outcome, plan: Plan) -> Ticket:
        """The ticket of a call that may go out; `outcome.limits` tells what it fell under, also when it may not.

        Raises RateLimitExceeded, BudgetExceeded, LimitTooSmall, PriceUnknown and QuotaUnavailable.
        """
        call = outcome.call
        index = call.snapshot.limits
        if not index.rules:
            return NO_TICKET
        subject = subject_of(call, outcome.principal)
        matched = index.at_call(subject)
        at_attempts: dict[str, MatchedRules] = {}
        if index.has_attempt_rules:
            for upstream in {target.upstream.id for target in plan.targets}:
                at_attempts[upstream] = index.at_attempt(subject_of(call, outcome.principal, upstream))
        if not matched and not any(at_attempts.values()):
            return NO_TICKET
        demand = Demand(call, size_of(call), self._learning, self._bounds, _unix_ms)
        ticket = LimitedTicket(self._office, demand, subject, matched, at_attempts)
        outcome.limits = ticket
        await ticket.admit(list({id(target): target for target in plan.targets}.values()))
        return ticket


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def subject_of(call: Call, principal: Principal, upstream: str = "") -> Subject:
    """`call` as rules see it."""
    key = principal.key
    return Subject(key.team, key.owner, key.name, call.model, call.end_user, call.metadata, upstream)
