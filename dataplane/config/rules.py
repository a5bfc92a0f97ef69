"""Pure: rate limits and budgets in machine form into the rules of a snapshot."""

from dataclasses import replace
from enum import IntEnum
from typing import TypeVar

from dataplane.config.change import Change
from dataplane.config.state import CompiledState, Rejected
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
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import is_per_attempt
from tollway.resources.pricing import compile_ceiling
from tollway.resources.rules import compile_match, compile_per

Word = TypeVar("Word", bound=IntEnum)


def apply_rules(state: CompiledState, change: Change, rejected: dict[str, Rejected]) -> CompiledState:
    """Of a rule that does not compile the last form that did stays in force."""
    said = {**change.of_kind("rate_limit"), **change.of_kind("budget")}
    before = state.snapshot.limits.rules
    gone = change.removals & before.keys()
    if not said and not gone:
        return state
    rules = {name: rule for name, rule in before.items() if name not in gone}
    for name, form in said.items():
        try:
            rules[name] = compile_rule(form)
        except ValueError as error:
            rejected[name] = Rejected(form, str(error))
    if rules == before:
        return state
    return replace(state, snapshot=replace(state.snapshot, limits=RuleIndex(rules)))


def compile_rule(resource: machine.Resource) -> CompiledRule:
    """The rule that a rate limit or a budget is. Raises ValueError that says why it does not compile."""
    form = resource.budget if resource.HasField("budget") else resource.rate_limit
    if not form.generation:
        raise ValueError("has no generation, which tells its buckets from those of its earlier forms")
    match, per = compile_match(form.match), compile_per(form.per)
    looks_at_attempts = is_per_attempt(match, per)
    if isinstance(form, machine.Budget):
        budget = _compile_budget(resource, per)
        return CompiledRule(resource.name, form.generation, match, looks_at_attempts, budgets=(budget,))
    if not form.limits:
        raise ValueError("has no limits")
    limits = tuple(_compile_limit(resource, index, per) for index in range(len(form.limits)))
    return CompiledRule(resource.name, form.generation, match, looks_at_attempts, limits=limits)


def _compile_limit(resource: machine.Resource, index: int, per: tuple[str, ...]) -> CompiledLimit:
    form, rule = resource.rate_limit.limits[index], resource.rate_limit
    unit = _word(Unit, form.unit, "unit")
    if form.amount <= 0 or form.burst < 0:
        raise ValueError(f"its limit {index} has amount {form.amount} and burst {form.burst}; both must be positive")
    if (form.window_ms <= 0) != (unit is Unit.CONCURRENT):
        raise ValueError(f"its limit {index} of {unit.word} has a window of {form.window_ms} ms")
    return CompiledLimit(
        rule=resource.name,
        generation=rule.generation,
        index=index,
        unit=unit,
        amount=form.amount,
        window_ms=form.window_ms,
        burst=form.burst or form.amount,
        per=per,
        mode=_word(Mode, rule.mode or Mode.ENFORCE, "mode"),
        on_unavailable=_word(OnUnavailable, rule.on_unavailable or OnUnavailable.LOCAL_SHARE, "on_unavailable"),
    )


def _compile_budget(resource: machine.Resource, per: tuple[str, ...]) -> CompiledBudget:
    form = resource.budget
    if form.amount_nano_usd <= 0:
        raise ValueError(f"its amount is {form.amount_nano_usd} nano-USD; it must be positive")
    on_unavailable = _word(OnUnavailable, form.on_unavailable or OnUnavailable.DENY, "on_unavailable")
    if on_unavailable is OnUnavailable.LOCAL_SHARE:
        raise ValueError("on_unavailable is local_share, which only rate limits may say")
    return CompiledBudget(
        rule=resource.name,
        generation=form.generation,
        amount_nano_usd=form.amount_nano_usd,
        per=per,
        mode=_word(Mode, form.mode or Mode.ENFORCE, "mode"),
        on_unavailable=on_unavailable,
        admission=_word(Admission, form.admission or Admission.EXPECTED, "admission"),
        ceiling=compile_ceiling(resource),
    )


def _word(words: type[Word], value: int, name: str) -> Word:
    try:
        return words(value)
    except ValueError:
        raise ValueError(f"{name} {value} is none that this release knows") from None
