"""Compiled rules to lay down in a snapshot."""

from dataclasses import replace

from dataplane.rules import (
    Admission,
    CompiledBudget,
    CompiledLimit,
    CompiledRule,
    Mode,
    OnUnavailable,
    RuleIndex,
    Unit,
)
from tollway.kernel.rules import Match, Names

USD = 10**9
EVERYTHING = Match(Names(()), Names(()), Names(()), Names(()), Names(()))


def limit_rule(name: str, unit: Unit, amount: int, per: tuple[str, ...] = (), **fields: object) -> CompiledRule:
    """A rate limit of one bound, per minute."""
    rule = f"rateLimits/{name}"
    window_ms = 0 if unit is Unit.CONCURRENT else 60_000
    limit = CompiledLimit(rule, "g", 0, unit, amount, window_ms, amount, per, Mode.ENFORCE, OnUnavailable.LOCAL_SHARE)
    return CompiledRule(rule, "g", EVERYTHING, "upstream" in per, limits=(replace(limit, **fields),))  # type: ignore[arg-type]


def budget_rule(name: str, amount_nano_usd: int, per: tuple[str, ...] = (), **fields: object) -> CompiledRule:
    """A strict budget."""
    rule = f"budgets/{name}"
    budget = CompiledBudget(rule, "g", amount_nano_usd, per, Mode.ENFORCE, OnUnavailable.DENY, Admission.STRICT)
    return CompiledRule(rule, "g", EVERYTHING, "upstream" in per, budgets=(replace(budget, **fields),))  # type: ignore[arg-type]


def index_of(*rules: CompiledRule) -> RuleIndex:
    return RuleIndex({rule.name: rule for rule in rules})
