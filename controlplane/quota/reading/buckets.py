"""How full buckets are, as values."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.quota.rows import RateRow
from controlplane.quota.windows import Window
from tollway.config.v1 import resources_pb2 as machine


@dataclass(frozen=True, slots=True)
class BudgetPeriod:
    """The buckets of one budget in one of its periods.

    `is_followed` says that the budget has stood as it is since the period began, so that all usage has charged it.
    """

    rule: str
    budget: machine.Budget
    window: Window
    is_followed: bool = False


@dataclass(frozen=True, slots=True)
class Fullness:
    """What is spent and held of a bucket of a budget, in nano-USD; `values` are those of the budget's `per`."""

    values: tuple[str, ...]
    spent: int
    reserved: int

    @property
    def total(self) -> int:
        return self.spent + self.reserved


@dataclass(frozen=True, slots=True)
class Rates:
    """TATs of buckets. One without was emptied at `since_us`, Unix microseconds; None: no rate was ever asked for."""

    now_us: int
    since_us: int | None = None
    rows: Mapping[uuid.UUID, RateRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of buckets goes on: after the one with this id, among those as full."""

    total: int
    bucket_id: uuid.UUID
