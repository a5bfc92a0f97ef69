"""What a call asks of its rules: tokens and money, at each target that it may go to. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dataplane.call import Attempt, Call
from dataplane.limits.costs import CostBounds
from dataplane.limits.estimate import ModelLearning, Size
from dataplane.rules import Admission, CompiledBudget, CompiledLimit, Unit
from dataplane.snapshot import Target
from tollway.kernel.pricing import Price
from tollway.kernel.usage import SettlementState, Usage

_ADMITTED_WITHIN_MS: Final = 2_000
STRICT_OUTPUT_TOKENS: Final = 4_096
"""The limit of an answer under a strict budget, where the client set none: it is sent to the upstream."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One call, how large it is, and what such calls took before. `clock_ms` gives Unix milliseconds."""

    call: Call
    size: Size
    learning: ModelLearning
    bounds: CostBounds
    clock_ms: Callable[[], int]

    @property
    def bound(self) -> Usage:
        """The most that an attempt can use."""
        return Usage(input=self.size.input_bound, output=self.size.output_bound(STRICT_OUTPUT_TOKENS))

    def amount(self, limit: CompiledLimit, target: Target) -> int:
        """What `limit` is to hold for a call to `target`, in its unit."""
        if limit.unit in (Unit.REQUESTS, Unit.CONCURRENT):
            return 1
        model = _model(target)
        tokens = 0
        if limit.unit is not Unit.OUTPUT_TOKENS:
            tokens += self.learning.input_tokens(model, self.size)
        if limit.unit is not Unit.INPUT_TOKENS:
            tokens += self.learning.output_tokens(model, self.size)
        return tokens

    def least(self, rule: CompiledLimit | CompiledBudget, target: Target) -> int:
        """What a call to `target` takes of `rule` by what the client says alone, whatever past calls took."""
        size = self.size
        if isinstance(rule, CompiledBudget):
            price = self._rating(rule, target, self.clock_ms())
            return 0 if price is None else self.bounds.expected_nano_usd(price, size.least_input, 0)
        if rule.unit in (Unit.REQUESTS, Unit.CONCURRENT):
            return 1
        tokens = 0 if rule.unit is Unit.OUTPUT_TOKENS else size.least_input
        return tokens if rule.unit is Unit.INPUT_TOKENS else tokens + size.output_bound(0)

    def cost(self, budget: CompiledBudget, target: Target) -> int | None:
        """Nano-USD that `budget` is to hold for an attempt at `target`; None when nothing is known about its price."""
        now_ms = self.clock_ms()
        price = self._rating(budget, target, now_ms)
        if price is None:
            return None
        if budget.admission is Admission.STRICT:
            # The attempt begins after a wait, when another price may be in force.
            later = self._rating(budget, target, now_ms + _ADMITTED_WITHIN_MS) or price
            return max(self._bound_nano_usd(price), self._bound_nano_usd(later))
        model = _model(target)
        return self.bounds.expected_nano_usd(
            price, self.learning.input_tokens(model, self.size), self.learning.output_tokens(model, self.size)
        )

    def charge(self, budget: CompiledBudget, held: int, attempt: Attempt) -> int:
        """Nano-USD that a settled attempt takes from `budget`, which held `held` for it.

        A strict budget counts what may have been used and was not reported at its bound.
        """
        if attempt.state is SettlementState.NOT_BILLED:
            return 0
        if budget.admission is Admission.STRICT and attempt.basis is not SettlementState.REPORTED:
            target = Target(attempt.upstream, attempt.upstream_model)
            price = self._rating(budget, target, attempt.start_time_us // 1000)
            return max(held if price is None else self._bound_nano_usd(price), attempt.cost_nano_usd)
        if attempt.state is not SettlementState.UNPRICED:
            return attempt.cost_nano_usd
        cost = None if budget.ceiling is None else budget.ceiling.cost_nano_usd(attempt.usage, attempt.service_tier)
        return held if cost is None else cost

    def _bound_nano_usd(self, price: Price) -> int:
        return self.bounds.bound_nano_usd(price, self.size.input_bound, self.size.output_bound(STRICT_OUTPUT_TOKENS))

    def _rating(self, budget: CompiledBudget, target: Target, time_ms: int) -> Price | None:
        """What attempts at `target` are held at: its price or the budget's ceiling, whichever has rates for all."""
        for price in (self._price(target, time_ms), budget.ceiling):
            if price is not None and self.bounds.is_whole(price, has_output=self.size.has_output):
                return price
        return None

    def _price(self, target: Target, time_ms: int) -> Price | None:
        return self.call.snapshot.prices.find(target.upstream.provider, target.model, time_ms)

    def learn(self, attempt: Attempt) -> None:
        """Takes in what was reported of an attempt."""
        if attempt.basis is SettlementState.REPORTED:
            usage = attempt.usage
            model = (attempt.upstream.provider, attempt.upstream_model)
            self.learning.learn(model, self.size, usage.input_tokens, usage.output_tokens)


def tokens_used(unit: Unit, usage: Usage) -> int:
    """What a limit on tokens counts of `usage`."""
    tokens = 0 if unit is Unit.OUTPUT_TOKENS else usage.input_tokens
    return tokens if unit is Unit.INPUT_TOKENS else tokens + usage.output_tokens


def _model(target: Target) -> tuple[str, str]:
    return target.upstream.provider, target.model
