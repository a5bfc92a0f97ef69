"""One counter of a rule, as the data plane needs to know it. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from dataplane.rules import CompiledBudget, CompiledLimit, MatchedRules, Mode, OnUnavailable, Unit
from tollway.kernel.rules import Subject, bucket_id, bucket_values

USD: Final = "usd"
_REMEMBERED: Final = 65_536
_REMEMBERED_BY: Final = frozenset(("team", "user", "key", "model", "upstream"))


class Kind(Enum):
    """How a bucket is counted: money that is spent, a rate that refills by itself, or slots that come back."""

    BUDGET = "budget"
    RATE = "rate"
    SLOTS = "slots"


HORIZON_MS: Final = {Kind.BUDGET: 30_000, Kind.RATE: 2_000, Kind.SLOTS: 2_000}
"""How long a lease should last at the pace of its use."""
IDLE_MS: Final = {Kind.BUDGET: 10_000, Kind.RATE: 4_000, Kind.SLOTS: 1_000}
"""After how long without a call what is held goes back."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """`id` is kernel.rules.bucket_id of `rule`, `generation`, `limit` and `values`, 16 bytes.

    `values` are of the dimensions `per`. `amount` is the whole limit: nano-USD, requests, tokens or slots; a rate gives
    it per `window_ms`, and at most `burst` at once.
    """

    id: bytes
    rule: str
    generation: str
    limit: int
    per: tuple[str, ...]
    values: tuple[str, ...]
    kind: Kind
    unit: str
    amount: int
    window_ms: int
    burst: int
    is_enforced: bool
    on_unavailable: OnUnavailable

    @property
    def most(self) -> int:
        """What one call may ask for at all."""
        return self.burst if self.kind is Kind.RATE else self.amount


class Buckets:
    """The buckets that calls fall into, made once for each rule and set of values, within bounds."""

    def __init__(self) -> None:
        self._sets: dict[tuple[int, str, str, str, str], tuple[MatchedRules, tuple[Bucket, ...]]] = {}
        self._made: dict[tuple[str, int, tuple[str, ...]], tuple[CompiledLimit | CompiledBudget, Bucket]] = {}

    def of_all(self, matched: MatchedRules, subject: Subject) -> tuple[Bucket, ...]:
        """The buckets of all that `subject` falls under: of its limits, then of its budgets."""
        key = (id(matched), subject.key, subject.user, subject.model, subject.upstream)
        known = self._sets.get(key)
        if known is not None and known[0] is matched:
            return known[1]
        rules: tuple[CompiledLimit | CompiledBudget, ...] = (*matched.limits, *matched.budgets)
        buckets = tuple(self.of(rule, subject) for rule in rules)
        if all(per in _REMEMBERED_BY for rule in rules for per in rule.per):
            if len(self._sets) >= _REMEMBERED:
                self._sets.clear()
            self._sets[key] = (matched, buckets)
        return buckets

    def of(self, limit: CompiledLimit | CompiledBudget, subject: Subject) -> Bucket:
        """The bucket of `limit` that `subject` falls into."""
        key = (limit.rule, limit.index, bucket_values(limit.per, subject))
        made = self._made.get(key)
        if made is not None and made[0] is limit:
            return made[1]
        if len(self._made) >= _REMEMBERED:
            self._made.clear()
        bucket = _bucket(limit, key[2])
        self._made[key] = (limit, bucket)
        return bucket


def _bucket(limit: CompiledLimit | CompiledBudget, values: tuple[str, ...]) -> Bucket:
    amount = limit.amount_nano_usd if isinstance(limit, CompiledBudget) else limit.amount
    return Bucket(
        id=bucket_id(limit.rule, limit.generation, limit.index, values).bytes,
        rule=limit.rule,
        generation=limit.generation,
        limit=limit.index,
        per=limit.per,
        values=values,
        kind=_kind(limit),
        unit=USD if isinstance(limit, CompiledBudget) else limit.unit.word,
        amount=amount,
        window_ms=0 if isinstance(limit, CompiledBudget) else limit.window_ms,
        burst=amount if isinstance(limit, CompiledBudget) else limit.burst,
        is_enforced=limit.mode is Mode.ENFORCE,
        on_unavailable=limit.on_unavailable,
    )


def _kind(limit: CompiledLimit | CompiledBudget) -> Kind:
    if isinstance(limit, CompiledBudget):
        return Kind.BUDGET
    return Kind.SLOTS if limit.unit is Unit.CONCURRENT else Kind.RATE
