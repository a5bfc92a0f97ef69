"""What one call has reserved, from its admission to its end: each attempt is charged, and everything settled once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dataplane.call import Attempt, Charge, Outcome
from dataplane.errors import GatewayError
from dataplane.limits.buckets import Bucket, Buckets
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.demand import STRICT_OUTPUT_TOKENS, Demand, tokens_used
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.headers import rate_headers
from dataplane.limits.refusals import price_unknown, refusal, too_small, unbounded
from dataplane.limits.reservations import Need, Way
from dataplane.rules import Admission, CompiledBudget, CompiledLimit, MatchedRules, Mode, Unit
from dataplane.snapshot import Target
from tollway.kernel.rules import Subject
from tollway.kernel.usage import Usage

_NO_RULES = MatchedRules()


class Ticket:
    """Of a call that falls under no rule: there is nothing to do."""

    __slots__ = ()

    @property
    def output_limit(self) -> int | None:
        """What must be sent as the limit of an answer, where the client set none."""
        return None

    async def admit_attempt(self, target: Target) -> GatewayError | None:
        """Reserves what an attempt at `target` needs beyond the call; why it may not be tried, or None."""
        return None

    def begin_attempt(self, attempt: Attempt) -> Usage | None:
        """Fills `attempt.charges` with what stands if the process dies now.

        Returns the most that the attempt can use, where a rule counts on that.
        """
        return None

    def end_attempt(self, attempt: Attempt) -> None:
        """Fills `attempt.charges`, and settles what was reserved for `attempt`, whose usage and cost are known."""

    def end(self, outcome: Outcome) -> None:
        """Settles what is left, after all attempts have ended."""


NO_TICKET = Ticket()


@dataclass(frozen=True, slots=True)
class TicketOffice:
    """What all tickets of a process share."""

    desk: LeaseDesk
    buckets: Buckets
    counts: AdmissionCounts


@dataclass(slots=True, eq=False)
class _Held:
    """A need, the rule that it is of, and since when it is held."""

    rule: CompiledLimit | CompiledBudget
    need: Need
    admitted_ms: int = 0


class LimitedTicket(Ticket):
    """Of a call that falls under `matched`; `at_attempts` are the rules that look at attempts, by id of the upstream.

    What it needs of rates and slots is held to its end; money, and what rules about attempts count, for each attempt.
    """

    __slots__ = (
        "_at_attempts", "_attempt", "_attempt_held", "_call_held", "_demand", "_has_attempts", "_has_unpriced",
        "_is_open", "_is_strict", "_matched", "_money_held", "_office", "_seen", "_subject", "exceeded",
    )  # fmt: skip

    def __init__(
        self,
        office: TicketOffice,
        demand: Demand,
        subject: Subject,
        matched: MatchedRules,
        at_attempts: Mapping[str, MatchedRules],
    ) -> None:
        self._office = office
        self._demand = demand
        self._subject = subject
        self._matched = matched
        self._at_attempts = at_attempts
        self._call_held: list[_Held] = []
        self._money_held: list[_Held] = []
        self._attempt_held: list[_Held] = []
        self._attempt: Attempt | None = None
        self._has_attempts = False
        self._has_unpriced = False
        self._is_open = False
        self._is_strict = any(_is_strict(rules) for rules in (matched, *at_attempts.values()))
        self._seen: list[Need] = []
        self.exceeded: list[str] = []

    @property
    def output_limit(self) -> int | None:
        size = self._demand.size
        return STRICT_OUTPUT_TOKENS if self._is_strict and size.has_output and size.output_limit is None else None

    def headers(self) -> dict[str, str]:
        known = (need.holding for need in self._seen if need.way not in (Way.UNLEASED, Way.LOCAL_SHARE))
        return rate_headers(known, self._office.desk.now_ms)

    async def admit(self, targets: Sequence[Target]) -> None:
        """Reserves what the call needs of its rules, the first attempt's money included.

        Raises RateLimitExceeded, BudgetExceeded, LimitTooSmall, PriceUnknown, QuotaUnavailable and InvalidRequest.
        """
        if self._is_strict and self._demand.size.unbounded:
            raise unbounded(self._demand.size.unbounded)
        limits, money = self._held_by(self._matched, self._subject, targets)
        error = await self._reserve([*limits, *money])
        if error is not None:
            raise error
        self._call_held, self._money_held = limits, money
        self._is_open = True
        self._office.counts.admitted()

    async def admit_attempt(self, target: Target) -> GatewayError | None:
        rules = self._at_attempts.get(target.upstream.id, _NO_RULES)
        money = () if self._money_held else self._matched.budgets
        if not rules and not money and not self._has_unpriced:
            return None
        try:
            for budget in self._matched.budgets if self._has_unpriced else ():
                self._cost(budget, (target,))
            _, again = self._held_by(MatchedRules((), money), self._subject, (target,))
            subject = replace(self._subject, upstream=target.upstream.id)
            limits, spends = self._held_by(rules, subject, (target,))
        except GatewayError as error:
            return error
        held = [*limits, *spends]
        if again or held:
            refused = await self._reserve([*again, *held])
            if refused is not None:
                return refused
        self._money_held += again
        self._attempt_held = held
        return None

    def begin_attempt(self, attempt: Attempt) -> Usage | None:
        self._attempt, self._has_attempts = attempt, True
        attempt.charges = tuple(
            self._charge(held, held.need.amount) for held in self._held_for_attempt() if _is_money(held)
        )
        return self._demand.bound if self._is_strict else None

    def end_attempt(self, attempt: Attempt) -> None:
        if attempt is not self._attempt:
            return
        charges = []
        for held in self._held_for_attempt():
            if isinstance(held.rule, CompiledBudget):
                amount = self._demand.charge(held.rule, held.need.amount, attempt)
                if amount:
                    charges.append(self._charge(held, amount))
            else:
                amount = _counted(held.rule.unit, [attempt])
            self._settle(held, amount)
        attempt.charges = tuple(charges)
        self._demand.learn(attempt)
        self._attempt, self._money_held, self._attempt_held = None, [], []

    def end(self, outcome: Outcome) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._office.counts.ended()
        for held in self._held_for_attempt():
            self._settle(held, 0)
        for held in self._call_held:
            if isinstance(held.rule, CompiledLimit):
                self._settle(held, _counted(held.rule.unit, outcome.attempts if self._has_attempts else []))

    def _charge(self, held: _Held, amount_nano_usd: int) -> Charge:
        need = held.need
        return Charge(need.holding.bucket.id, need.lease_id, need.window_start_ms(held.admitted_ms), amount_nano_usd)

    def _held_for_attempt(self) -> list[_Held]:
        return self._money_held + self._attempt_held

    def _held_by(
        self, rules: MatchedRules, subject: Subject, targets: Sequence[Target]
    ) -> tuple[list[_Held], list[_Held]]:
        """What is to be reserved of limits, and of budgets. Raises LimitTooSmall and PriceUnknown."""
        buckets = self._office.buckets.of_all(rules, subject)
        demand, split, now_ms = self._demand, len(rules.limits), self._office.desk.now_ms
        limits = [
            self._held(rule, demand.amount(rule, targets[0]), bucket, targets, now_ms)
            for rule, bucket in zip(rules.limits, buckets, strict=False)
        ]
        money = [
            self._held(rule, self._cost(rule, targets), bucket, targets, now_ms)
            for rule, bucket in zip(rules.budgets, buckets[split:], strict=True)
        ]
        return limits, money

    def _held(
        self,
        rule: CompiledLimit | CompiledBudget,
        amount: int,
        bucket: Bucket,
        targets: Sequence[Target],
        now_ms: int,
    ) -> _Held:
        """A need that is to be reserved. Raises LimitTooSmall when it alone passes the limit.

        What only past calls let expect refuses nobody: then all of the limit is held.
        """
        office = self._office
        most = bucket.most
        if amount > most and self._is_guess(rule, most, targets):
            amount = most
        need = office.desk.table.need(bucket, amount, now_ms)
        self._seen.append(need)
        if amount > most:
            if bucket.is_enforced:
                office.counts.refused(bucket, "too_small")
                raise too_small(bucket, amount)
            need.way = Way.EXCEEDED
        return _Held(rule, need)

    def _is_guess(self, rule: CompiledLimit | CompiledBudget, most: int, targets: Sequence[Target]) -> bool:
        """Whether only past calls let expect that the call takes more than `most`."""
        if isinstance(rule, CompiledBudget) and rule.admission is Admission.STRICT:
            return False
        return most >= min(self._demand.least(rule, target) for target in targets)

    def _cost(self, budget: CompiledBudget, targets: Sequence[Target]) -> int:
        """What `budget` is to hold: the dearest of `targets` of which a price is known. Raises PriceUnknown."""
        if len(targets) == 1 and (cost := self._demand.cost(budget, targets[0])) is not None:
            return cost
        costs = [self._demand.cost(budget, target) for target in targets]
        known = [cost for cost in costs if cost is not None]
        self._has_unpriced = self._has_unpriced or len(known) < len(costs)
        if known or budget.mode is Mode.AUDIT:
            return max(known, default=0)
        self._office.counts.refused(self._office.buckets.of(budget, self._subject), "price_unknown")
        raise price_unknown(budget, self._demand.call.model)

    async def _reserve(self, held: Sequence[_Held]) -> GatewayError | None:
        """All of `held` or nothing; what is said to the client when it is nothing."""
        desk = self._office.desk
        reservation = await desk.reserve([one.need for one in held if one.need.way is Way.NOT_YET])
        if reservation.denial is not None:
            self._office.counts.refused(reservation.denial.bucket, reservation.denial.reason.value)
            return refusal(reservation.denial, datetime.now(UTC))
        for one in held:
            one.admitted_ms = reservation.admitted_ms
            if one.need.way is Way.EXCEEDED:
                self._office.counts.exceeded(one.need.holding.bucket)
                self.exceeded.append(one.rule.rule)
        return None

    def _settle(self, held: _Held, amount: int) -> None:
        desk = self._office.desk
        desk.table.settle(held.need, amount, held.admitted_ms, desk.now_ms)


def _is_strict(rules: MatchedRules) -> bool:
    return any(b.admission is Admission.STRICT and b.mode is Mode.ENFORCE for b in rules.budgets)


def _is_money(held: _Held) -> bool:
    return isinstance(held.rule, CompiledBudget)


def _counted(unit: Unit, attempts: Sequence[Attempt]) -> int:
    """What `attempts` of one call took of a limit; running ends with them."""
    if unit is Unit.CONCURRENT or not attempts:
        return 0
    return 1 if unit is Unit.REQUESTS else sum(tokens_used(unit, attempt.usage) for attempt in attempts)
