"""One counter of a rule, as the data plane needs to know it. Pure."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final


class OnUnavailable(IntEnum):
    """What becomes of a call without a lease; values are those of tollway.config.v1.OnUnavailable."""

    DENY = 1
    ALLOW = 2
    LOCAL_SHARE = 3


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

    `amount` is the whole limit: nano-USD, requests, tokens or slots; a rate gives it per `window_ms`, and at most
    `burst` at once.
    """

    id: bytes
    rule: str
    generation: str
    limit: int
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
