"""What one call has reserved, from its admission to its end: each attempt is charged, and everything settled once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from dataplane.call import Attempt, Charge
from dataplane.errors import GatewayError
from dataplane.limits.buckets import Bucket, Terms
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.demand import STRICT_OUTPUT_TOKENS, Demand
from dataplane.limits.desk import LeaseDesk
from dataplane.limits.headers import rate_headers
from dataplane.limits.refusals import price_unknown, refusal, too_small, unbounded
from dataplane.limits.reservations import Need, State, Way
from dataplane.rules import Admission, CompiledBudget, CompiledLimit, Mode, Unit
from dataplane.snapshot import Target
from tollway.kernel.usage import Usage


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

    def end(self) -> None:
        """Settles what is left, after all attempts have ended."""


NO_TICKET = Ticket()


@dataclass(frozen=True, slots=True)
class TicketOffice:
    """What all tickets of a process share."""

    desk: LeaseDesk
    counts: AdmissionCounts


_Held: TypeAlias = tuple[CompiledLimit | CompiledBudget, Need]
"""What a call needs of a bucket, and the rule that it is of."""


class _Ended(NamedTuple):
    """Attempts of one call that have ended, and the tokens that they took."""

    attempts: int
    input_tokens: int
    output_tokens: int

    def plus(self, other: "_Ended") -> "_Ended":
        return _Ended(*(own + more for own, more in zip(self, other, strict=True)))

    def counted(self, unit: Unit) -> int:
        """What they took of a limit; running ends with them."""
        if unit is Unit.CONCURRENT or not self.attempts:
            return 0
        if unit is Unit.REQUESTS:
            return 1
        tokens = 0 if unit is Unit.OUTPUT_TOKENS else self.input_tokens
        return tokens if unit is Unit.INPUT_TOKENS else tokens + self.output_tokens


_NOTHING_ENDED = _Ended(0, 0, 0)


class LimitedTicket(Ticket):
    """Of a call that falls under `terms`; `at_attempts` are the rules that look at attempts, by id of the upstream.

    What it needs of rates and slots is held to its end; money, and what rules about attempts count, for each attempt.
    """

    __slots__ = (
        "_at_attempts", "_attempt", "_attempt_held", "_call_held", "_demand", "_ended", "_has_unpriced",
        "_is_open", "_is_strict", "_money_held", "_office", "_seen", "_terms", "exceeded",
    )  # fmt: skip

    def __init__(self, office: TicketOffice, demand: Demand, terms: Terms, at_attempts: Mapping[str, Terms]) -> None:
        self._office = office
        self._demand = demand
        self._terms = terms
        self._at_attempts = at_attempts
        self._call_held: list[_Held] = []
        self._money_held: list[_Held] = []
        self._attempt_held: list[_Held] = []
        self._attempt: Attempt | None = None
        self._ended = _NOTHING_ENDED
        self._has_unpriced = False
        self._is_open = False
        self._is_strict = terms.is_strict or any(rules.is_strict for rules in at_attempts.values())
        self._seen: list[Need] = []
        self.exceeded: list[str] = []

    @property
    def output_limit(self) -> int | None:
        size = self._demand.size
        return STRICT_OUTPUT_TOKENS if self._is_strict and size.has_output and size.output_limit is None else None

    def headers(self) -> dict[str, str]:
        known = [
            need.holding for need in self._seen if need.way is not Way.UNLEASED and need.way is not Way.LOCAL_SHARE
        ]
        return rate_headers(known, self._office.desk.now_ms)

    async def admit(self, targets: Sequence[Target]) -> None:
        """Reserves what the call needs of its rules, the first attempt's money included.

        Raises RateLimitExceeded, BudgetExceeded, LimitTooSmall, PriceUnknown, QuotaUnavailable and InvalidRequest.
        """
        if self._is_strict and self._demand.size.unbounded:
            raise unbounded(self._demand.size.unbounded)
        now_ms = self._office.desk.now_ms
        limits = self._of_limits(self._terms, targets, now_ms)
        money = self._of_budgets(self._terms, targets, now_ms)
        error = await self._reserve([*limits, *money])
        if error is not None:
            raise error
        self._call_held, self._money_held = limits, money
        self._is_open = True
        self._office.counts.begin()

    async def admit_attempt(self, target: Target) -> GatewayError | None:
        terms = self._at_attempts.get(target.upstream.id)
        needs_money = bool(self._terms.budgets) and not self._money_held
        if terms is None and not needs_money and not self._has_unpriced:
            return None
        try:
            money, held = self._of_attempt(terms, target, needs_money=needs_money)
        except GatewayError as error:
            return error
        if money or held:
            refused = await self._reserve([*money, *held])
            if refused is not None:
                return refused
        self._money_held += money
        self._attempt_held = held
        return None

    def begin_attempt(self, attempt: Attempt) -> Usage | None:
        self._attempt = attempt
        attempt.charges = tuple(
            [_charge(need, need.amount) for rule, need in self._held_for_attempt() if isinstance(rule, CompiledBudget)]
        )
        return self._demand.bound if self._is_strict else None

    def end_attempt(self, attempt: Attempt) -> None:
        if attempt is not self._attempt:
            return
        table, now_ms = self._office.desk.table, self._office.desk.now_ms
        ended, charges = _Ended(1, attempt.usage.input_tokens, attempt.usage.output_tokens), []
        for rule, need in self._held_for_attempt():
            if isinstance(rule, CompiledBudget):
                amount = self._demand.charge(rule, need.amount, attempt)
                if amount:
                    charges.append(_charge(need, amount))
            else:
                amount = ended.counted(rule.unit)
            table.settle(need, amount, now_ms)
        attempt.charges = tuple(charges)
        self._demand.learn(attempt, ended.input_tokens, ended.output_tokens)
        self._ended = self._ended.plus(ended) if self._ended.attempts else ended
        self._attempt, self._money_held, self._attempt_held = None, [], []

    def end(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._office.counts.end()
        table, now_ms = self._office.desk.table, self._office.desk.now_ms
        for _, need in self._held_for_attempt():
            table.settle(need, 0, now_ms)
        for rule, need in self._call_held:
            if isinstance(rule, CompiledLimit):
                table.settle(need, self._ended.counted(rule.unit), now_ms)

    def _held_for_attempt(self) -> list[_Held]:
        return self._money_held + self._attempt_held if self._attempt_held else self._money_held

    def _of_attempt(self, terms: Terms | None, target: Target, *, needs_money: bool) -> tuple[list[_Held], list[_Held]]:
        """What an attempt needs of the call's own budgets, and of the rules about attempts.

        Raises LimitTooSmall and PriceUnknown.
        """
        targets, now_ms = (target,), self._office.desk.now_ms
        for budget, bucket in self._terms.budgets if self._has_unpriced else ():
            self._cost(budget, bucket, targets)
        money = self._of_budgets(self._terms, targets, now_ms) if needs_money else []
        if terms is None:
            return money, []
        return money, [*self._of_limits(terms, targets, now_ms), *self._of_budgets(terms, targets, now_ms)]

    def _of_limits(self, terms: Terms, targets: Sequence[Target], now_ms: int) -> list[_Held]:
        """What is to be reserved of limits. Raises LimitTooSmall."""
        amount, first = self._demand.amount, targets[0]
        return [
            (limit, self._need(limit, bucket, amount(limit, first), targets, now_ms)) for limit, bucket in terms.limits
        ]

    def _of_budgets(self, terms: Terms, targets: Sequence[Target], now_ms: int) -> list[_Held]:
        """What is to be reserved of budgets. Raises LimitTooSmall and PriceUnknown."""
        return [
            (budget, self._need(budget, bucket, self._cost(budget, bucket, targets), targets, now_ms))
            for budget, bucket in terms.budgets
        ]

    def _need(
        self,
        rule: CompiledLimit | CompiledBudget,
        bucket: Bucket,
        amount: int,
        targets: Sequence[Target],
        now_ms: int,
    ) -> Need:
        """Of a bucket, to be reserved. Raises LimitTooSmall when it alone passes the limit.

        What only past calls let expect refuses nobody: then all of the limit is held.
        """
        most = bucket.most
        if amount > most and self._is_guess(rule, most, targets):
            amount = most
        need = self._office.desk.table.need(bucket, amount, now_ms)
        self._seen.append(need)
        if amount > most:
            if bucket.is_enforced:
                self._office.counts.refused(bucket, "too_small")
                raise too_small(bucket, amount)
            need.way = Way.EXCEEDED
        return need

    def _is_guess(self, rule: CompiledLimit | CompiledBudget, most: int, targets: Sequence[Target]) -> bool:
        """Whether only past calls let expect that the call takes more than `most`."""
        if isinstance(rule, CompiledBudget) and rule.admission is Admission.STRICT:
            return False
        return most >= min(self._demand.least(rule, target) for target in targets)

    def _cost(self, budget: CompiledBudget, bucket: Bucket, targets: Sequence[Target]) -> int:
        """What `budget` is to hold: the dearest of `targets` of which a price is known. Raises PriceUnknown."""
        if len(targets) == 1 and (cost := self._demand.cost(budget, targets[0])) is not None:
            return cost
        costs = [self._demand.cost(budget, target) for target in targets]
        known = [cost for cost in costs if cost is not None]
        self._has_unpriced = self._has_unpriced or len(known) < len(costs)
        if known or budget.mode is Mode.AUDIT:
            return max(known, default=0)
        self._office.counts.refused(bucket, "price_unknown")
        raise price_unknown(budget, self._demand.call.model)

    async def _reserve(self, held: Sequence[_Held]) -> GatewayError | None:
        """All of `held` or nothing; what is said to the client when it is nothing."""
        desk = self._office.desk
        reservation = desk.reserve([need for _, need in held if need.way is Way.NOT_YET])
        if reservation.state is State.WAITING:
            await desk.wait(reservation)
        if reservation.denial is not None:
            self._office.counts.refused(reservation.denial.bucket, reservation.denial.reason.value)
            return refusal(reservation.denial, datetime.now(UTC))
        for rule, need in held:
            if need.way is Way.EXCEEDED:
                self._office.counts.exceeded(need.holding.bucket)
                self.exceeded.append(rule.rule)
        return None


def _charge(need: Need, amount_nano_usd: int) -> Charge:
    return Charge(need.holding.bucket.id, need.lease_id, need.window_start_ms, amount_nano_usd)
