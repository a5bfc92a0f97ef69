"""The compiled rules of a snapshot, and which of them a call and an attempt fall under."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from tollway.kernel.names import bare_id
from tollway.kernel.pricing import Price
from tollway.kernel.rules import Match, Names, Subject

_REMEMBERED = 65_536


class Unit(IntEnum):
    """What a limit counts; values are those of tollway.config.v1.LimitUnit."""

    REQUESTS = 1
    TOKENS = 2
    INPUT_TOKENS = 3
    OUTPUT_TOKENS = 4
    CONCURRENT = 5

    @property
    def word(self) -> str:
        return self.name.lower()


class Mode(IntEnum):
    """Whether a rule refuses or only counts; values are those of tollway.config.v1.EnforcementMode."""

    ENFORCE = 1
    AUDIT = 2


class OnUnavailable(IntEnum):
    """What a rule says while no lease is to be had; values are those of tollway.config.v1.OnUnavailable."""

    DENY = 1
    ALLOW = 2
    LOCAL_SHARE = 3


class Admission(IntEnum):
    """How much a budget holds for a running call; values are those of tollway.config.v1.Admission."""

    STRICT = 1
    EXPECTED = 2


@dataclass(frozen=True, slots=True)
class CompiledLimit:
    """One bound of a rate limit: `amount` of `unit` per `window_ms` (0 for CONCURRENT), of which `burst` at once.

    `rule` is the full resource name; rule, `generation`, `index` and the values of `per` make the bucket.
    """

    rule: str
    generation: str
    index: int
    unit: Unit
    amount: int
    window_ms: int
    burst: int
    per: tuple[str, ...]
    mode: Mode
    on_unavailable: OnUnavailable


@dataclass(frozen=True, slots=True)
class CompiledBudget:
    """A bound of cost in each period, which only the control plane knows; its bucket is that of index 0.

    `ceiling` prices calls of unknown price; without one an enforced budget refuses them.
    """

    rule: str
    generation: str
    amount_nano_usd: int
    per: tuple[str, ...]
    mode: Mode
    on_unavailable: OnUnavailable
    admission: Admission
    ceiling: Price | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rate limit with its limits, or a budget; `is_per_attempt` says that upstreams matter to it."""

    name: str
    generation: str
    match: Match
    is_per_attempt: bool
    limits: tuple[CompiledLimit, ...] = ()
    budgets: tuple[CompiledBudget, ...] = ()


@dataclass(frozen=True, slots=True)
class MatchedRules:
    """What a call or an attempt falls under, in order of rule and index. All must admit it."""

    limits: tuple[CompiledLimit, ...] = ()
    budgets: tuple[CompiledBudget, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.limits or self.budgets)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The rules whose names match; `matched` unless some of them also look at metadata."""

    rules: tuple[CompiledRule, ...]
    matched: MatchedRules | None


_Key: TypeAlias = tuple[str, str, str, str]
_NOTHING = MatchedRules()
_NO_CANDIDATES = _Candidates((), _NOTHING)
_ANCHORS: tuple[tuple[Callable[[Match], Names], Callable[[Subject], tuple[str, ...]]], ...] = (
    (lambda match: match.keys, lambda subject: (subject.key, bare_id(subject.key))),
    (lambda match: match.teams, lambda subject: (subject.team, bare_id(subject.team))),
    (lambda match: match.models, lambda subject: (subject.model,)),
    (lambda match: match.upstreams, lambda subject: (subject.upstream,)),
)
"""Names that a rule may be found by when it admits exact ones only, and what a subject is found by there."""


class _Shelf:
    """Rules of one scope, found by the names that they are exact about; what was found is remembered, within bounds."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self._by_name: tuple[dict[str, list[CompiledRule]], ...] = tuple({} for _ in _ANCHORS)
        self._others: list[CompiledRule] = []
        self._found: dict[_Key, _Candidates] = {}
        self._sets: dict[tuple[str, ...], _Candidates] = {(): _NO_CANDIDATES}
        self.is_empty = True
        for rule in rules:
            self.is_empty = False
            self._put(rule)

    def matching(self, subject: Subject) -> MatchedRules:
        if self.is_empty:
            return _NOTHING
        key = (subject.key, subject.user, subject.model, subject.upstream)
        found = self._found.get(key)
        if found is None:
            found = self._find(subject)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
                self._sets = {(): _NO_CANDIDATES}
            self._found[key] = found
        if found.matched is not None:
            return found.matched
        return _gather(rule for rule in found.rules if rule.match.admits_metadata(subject.metadata))

    def _put(self, rule: CompiledRule) -> None:
        for (names_of, _), shelf in zip(_ANCHORS, self._by_name, strict=True):
            exact = names_of(rule.match).exact
            if exact is not None:
                for name in exact:
                    shelf.setdefault(name, []).append(rule)
                return
        self._others.append(rule)

    def _find(self, subject: Subject) -> _Candidates:
        near = {rule.name: rule for rule in self._others}
        for (_, names_of), shelf in zip(_ANCHORS, self._by_name, strict=True):
            if shelf:
                near |= {rule.name: rule for name in names_of(subject) for rule in shelf.get(name, ())}
        names = tuple(sorted(name for name, rule in near.items() if rule.match.admits_names(subject)))
        known = self._sets.get(names)
        if known is None:
            rules = tuple(near[name] for name in names)
            is_settled = all(not rule.match.metadata for rule in rules)
            known = self._sets[names] = _Candidates(rules, _gather(rules) if is_settled else None)
        return known


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """All rules in force, by full resource name.

    Finding is remembered per key, its owner, model and upstream; only rules that look at metadata are judged anew for
    each call.
    """

    rules: Mapping[str, CompiledRule] = field(default_factory=dict)
    _calls: _Shelf = field(init=False, repr=False, compare=False)
    _attempts: _Shelf = field(init=False, repr=False, compare=False)
    _looks_at_metadata: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The dataclass is frozen.
        object.__setattr__(self, "_calls", _Shelf(rule for rule in self.rules.values() if not rule.is_per_attempt))
        object.__setattr__(self, "_attempts", _Shelf(rule for rule in self.rules.values() if rule.is_per_attempt))
        object.__setattr__(self, "_looks_at_metadata", any(rule.match.metadata for rule in self.rules.values()))

    @property
    def has_attempt_rules(self) -> bool:
        """Whether any rule looks at attempts at all."""
        return not self._attempts.is_empty

    @property
    def looks_at_metadata(self) -> bool:
        """Whether any rule is about calls with certain metadata only."""
        return self._looks_at_metadata

    def at_call(self, call: Subject) -> MatchedRules:
        """What `call`, which has no upstream, falls under once, whatever its attempts."""
        return self._calls.matching(call)

    def at_attempt(self, attempt: Subject) -> MatchedRules:
        """What `attempt`, which has an upstream, falls under beyond what its call does."""
        return self._attempts.matching(attempt)


def _gather(rules: Iterable[CompiledRule]) -> MatchedRules:
    limits: list[CompiledLimit] = []
    budgets: list[CompiledBudget] = []
    for rule in rules:
        limits += rule.limits
        budgets += rule.budgets
    return MatchedRules(tuple(limits), tuple(budgets))
