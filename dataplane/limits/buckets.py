"""One counter of a rule, as the data plane needs to know it. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from dataplane.call import Call
from dataplane.rules import Admission, CompiledBudget, CompiledLimit, MatchedRules, Mode, OnUnavailable, Unit
from dataplane.snapshot import Snapshot, VirtualKey
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


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call or an attempt falls under: each limit and each budget with its bucket.

    `is_strict` says that an enforced budget holds the most that an attempt can cost.
    """

    limits: tuple[tuple[CompiledLimit, Bucket], ...]
    budgets: tuple[tuple[CompiledBudget, Bucket], ...]
    is_strict: bool

    def __bool__(self) -> bool:
        return bool(self.limits or self.budgets)


class Buckets:
    """The buckets that calls fall into, made once for each rule and set of values, within bounds.

    What calls of a key fall under is remembered as long as one snapshot is asked about, where nothing but the key, the
    model and the upstream matters to it.
    """

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._terms: dict[tuple[str, str, str], Terms] = {}
        self._made: dict[tuple[str, int, tuple[str, ...]], tuple[CompiledLimit | CompiledBudget, Bucket]] = {}

    def at_call(self, call: Call, key: VirtualKey) -> Terms:
        """What `call` falls under once, whatever its attempts."""
        known = self._terms.get((key.name, call.model, "")) if call.snapshot is self._snapshot else None
        if known is not None:
            return known
        subject = Subject(key.team, key.owner, key.name, call.model, call.end_user, call.metadata)
        return self._find(call.snapshot, subject, call.snapshot.limits.at_call(subject))

    def at_attempt(self, call: Call, key: VirtualKey, upstream: str) -> Terms:
        """What an attempt of `call` falls under beyond what its call does."""
        known = self._terms.get((key.name, call.model, upstream)) if call.snapshot is self._snapshot else None
        if known is not None:
            return known
        subject = Subject(key.team, key.owner, key.name, call.model, call.end_user, call.metadata, upstream)
        return self._find(call.snapshot, subject, call.snapshot.limits.at_attempt(subject))

    def _find(self, snapshot: Snapshot, subject: Subject, matched: MatchedRules) -> Terms:
        limits = tuple((limit, self.of(limit, subject)) for limit in matched.limits)
        budgets = tuple((budget, self.of(budget, subject)) for budget in matched.budgets)
        is_strict = any(b.admission is Admission.STRICT and b.mode is Mode.ENFORCE for b in matched.budgets)
        terms = Terms(limits, budgets, is_strict)
        if snapshot is not self._snapshot or len(self._terms) >= _REMEMBERED:
            self._snapshot, self._terms = snapshot, {}
        has_only_names = all(per in _REMEMBERED_BY for _, bucket in (*limits, *budgets) for per in bucket.per)
        if has_only_names and not snapshot.limits.looks_at_metadata:
            self._terms[subject.key, subject.model, subject.upstream] = terms
        return terms

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
