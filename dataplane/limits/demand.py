"""What a call asks of its rules: tokens and money, at each target that it may go to. Pure."""

from collections.abc import Callable
from typing import Final

from dataplane.call import COUNT_TOKENS, Attempt, Call
from dataplane.limits.costs import CostBounds
from dataplane.limits.estimate import ModelLearning, Size
from dataplane.rules import Admission, CompiledBudget, CompiledLimit, Unit
from dataplane.snapshot import Target
from tollway.kernel.pricing import Price
from tollway.kernel.usage import SettlementState, Usage

_ADMITTED_WITHIN_MS: Final = 2_000
STRICT_OUTPUT_TOKENS: Final = 4_096
"""The limit of an answer under a strict budget, where the client set none: it is sent to the upstream."""


class Demand:
    """One call, how large it is, and what such calls took before. `clock_ms` gives Unix milliseconds."""

    __slots__ = ("_bounds", "_clock_ms", "_expected", "_expected_at", "_learning", "call", "size")

    def __init__(
        self, call: Call, size: Size, learning: ModelLearning, bounds: CostBounds, clock_ms: Callable[[], int]
    ) -> None:
        self.call = call
        self.size = size
        self._learning = learning
        self._bounds = bounds
        self._clock_ms = clock_ms
        self._expected = (0, 0)
        self._expected_at: Target | None = None

    @property
    def bound(self) -> Usage:
        """The most that an attempt can use."""
        size = self.size
        return Usage(input=size.input_bound, output=size.output_bound(STRICT_OUTPUT_TOKENS), search=size.searches)

    @property
    def _is_free(self) -> bool:
        """Whether the call only asks how large it would be, for which no provider charges."""
        return self.call.endpoint.operation == COUNT_TOKENS

    def amount(self, limit: CompiledLimit, target: Target) -> int:
        """What `limit` is to hold for a call to `target`, in its unit."""
        if limit.unit in (Unit.REQUESTS, Unit.CONCURRENT):
            return 1
        input_tokens, output_tokens = self._tokens(target)
        if limit.unit is Unit.TOKENS:
            return input_tokens + output_tokens
        return input_tokens if limit.unit is Unit.INPUT_TOKENS else output_tokens

    def least(self, rule: CompiledLimit | CompiledBudget, target: Target) -> int:
        """What a call to `target` takes of `rule` by what the client says alone, whatever past calls took."""
        size = self.size
        if isinstance(rule, CompiledBudget):
            price = self._rating(rule, target, self._clock_ms())
            return 0 if price is None else self._bounds.expected_nano_usd(price, size.least_input, 0)
        if rule.unit in (Unit.REQUESTS, Unit.CONCURRENT):
            return 1
        tokens = 0 if rule.unit is Unit.OUTPUT_TOKENS else size.least_input
        return tokens if rule.unit is Unit.INPUT_TOKENS else tokens + size.output_bound(0)

    def cost(self, budget: CompiledBudget, target: Target) -> int | None:
        """Nano-USD that `budget` is to hold for an attempt at `target`; None when nothing is known about its price."""
        if self._is_free:
            return 0
        now_ms = self._clock_ms()
        price = self._rating(budget, target, now_ms)
        if price is None:
            return None
        if budget.admission is Admission.STRICT:
            # The attempt begins after a wait, when another price may be in force.
            later = self._rating(budget, target, now_ms + _ADMITTED_WITHIN_MS) or price
            return max(self._bound_nano_usd(price), self._bound_nano_usd(later))
        return self._bounds.expected_nano_usd(price, *self._tokens(target), self.size.searches)

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
        size = self.size
        return self._bounds.bound_nano_usd(
            price, size.input_bound, size.output_bound(STRICT_OUTPUT_TOKENS), size.searches
        )

    def _rating(self, budget: CompiledBudget, target: Target, time_ms: int) -> Price | None:
        """What attempts at `target` are held at: its price or the budget's ceiling, whichever has rates for all."""
        has_output = self.size.has_output
        is_ranking = self.size.searches > 0 and not has_output
        price = self.call.snapshot.prices.find(target.upstream.provider, target.model, time_ms)
        if price is not None and self._bounds.is_whole(price, has_output=has_output, is_search=is_ranking):
            return price
        price = budget.ceiling
        if price is None or not self._bounds.is_whole(price, has_output=has_output, is_search=is_ranking):
            return None
        return price

    def _tokens(self, target: Target) -> tuple[int, int]:
        """What is expected to go in and out at `target`; the same for as long as it is asked for one target."""
        if target is not self._expected_at:
            self._expected = self._learning.expected((target.upstream.provider, target.model), self.size)
            self._expected_at = target
        return self._expected

    def learn(self, attempt: Attempt, input_tokens: int, output_tokens: int) -> None:
        """Takes in that `attempt` took so many tokens, where its upstream has reported them."""
        if attempt.basis is SettlementState.REPORTED and not self._is_free:
            model = (attempt.upstream.provider, attempt.upstream_model)
            self._learning.learn(model, self.size, input_tokens, output_tokens)
