"""The rules of a simulated fleet."""

import uuid
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from tollway.kernel.rules import bucket_id


class Kind(Enum):
    """What a rule counts."""

    STRICT_BUDGET = "strict budget"
    EXPECTED_BUDGET = "expected budget"
    REQUESTS = "requests"
    TOKENS = "tokens"
    SLOTS = "slots"

    @property
    def is_budget(self) -> bool:
        return self in (Kind.STRICT_BUDGET, Kind.EXPECTED_BUDGET)

    @property
    def is_rate(self) -> bool:
        return self in (Kind.REQUESTS, Kind.TOKENS)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with one limit. `amount` is nano-USD, requests, tokens or slots; `window_ms` is of rates, and of budgets
    the length of a period, 0 for one that never ends. `per_key` counts each key apart."""

    name: str
    kind: Kind
    amount: int
    window_ms: int = 0
    burst: int = 0
    per_key: bool = False
    version: int = 1

    @property
    def generation(self) -> str:
        return f"v{self.version}"

    def bucket(self, key: str) -> uuid.UUID:
        return _bucket_of(self, self.values(key))

    def values(self, key: str) -> tuple[str, ...]:
        return (key,) if self.per_key else ()

    def with_amount(self, amount: int) -> "Rule":
        """The generation stays."""
        return replace(self, amount=amount)

    def replaced(self) -> "Rule":
        """Counts otherwise than before: another generation."""
        return replace(self, version=self.version + 1)


@lru_cache(maxsize=4096)
def _bucket_of(rule: Rule, values: tuple[str, ...]) -> uuid.UUID:
    return bucket_id(rule.name, rule.generation, 0, values)
