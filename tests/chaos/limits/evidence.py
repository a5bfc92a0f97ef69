"""What is promised of the rules of a campaign, and what was seen of them, as values."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Counted(enum.Enum):
    """What a rate limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class BudgetCap:
    """A budget of one bucket, over all calls of `team`, who has no other usage.

    overrun_nano_usd: by how much it may be passed; 0 under strict admission. reservation_nano_usd: the most that it
    holds for one call. is_used_up: callers went on until it refused them for good, so that next to nothing is left;
    calls: about how many it was worth.
    """

    rule: str
    team: str
    amount_nano_usd: int
    overrun_nano_usd: int = 0
    reservation_nano_usd: int = 0
    is_used_up: bool = False
    calls: int = 0


@dataclass(frozen=True, slots=True)
class RateCap:
    """A rate limit of one bucket, over all calls of `team`; is_saturated: more was asked for all the time."""

    rule: str
    team: str
    counted: Counted
    amount: int
    window_ms: int
    burst: int
    is_saturated: bool = False


@dataclass(frozen=True, slots=True)
class SlotCap:
    """A bound on calls at once of `team`."""

    rule: str
    team: str
    amount: int


Cap = BudgetCap | RateCap | SlotCap


@dataclass(frozen=True, slots=True)
class BucketSums:
    """All windows of one budget's buckets together, in nano-USD."""

    spent: int
    escrow: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the budgets, by rule: first what the provider had served by then, then what the database held."""

    time_ms: int
    served_nano_usd: Mapping[str, int]
    buckets: Mapping[str, BucketSums]


@dataclass(frozen=True, slots=True)
class LimitEvidence:
    """What is known of the limits of a campaign.

    teams: of every call, by its id. samples: while the load ran. at_rest: the last one, with nothing on its way.
    held: leases that still hold something at rest, a line each; None where that was not waited for.
    data_planes: how many served. charged: by rule what the ledger's entries charge to its buckets; None if unknown.
    """

    caps: tuple[Cap, ...]
    teams: Mapping[str, str] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    at_rest: Sample | None = None
    held: tuple[str, ...] | None = None
    data_planes: int = 2
    charged: Mapping[str, int] | None = None
