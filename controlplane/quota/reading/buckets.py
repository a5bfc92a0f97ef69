"""Who knows how full buckets are."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controlplane.quota.rows import BucketKey, BucketRow, RateRow
from controlplane.quota.windows import Window
from tollway.config.v1 import resources_pb2 as machine


@dataclass(frozen=True, slots=True)
class BudgetPeriod:
    """The buckets of one budget in one of its periods."""

    rule: str
    budget: machine.Budget
    window: Window


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


class BucketReader(Protocol):
    """All raise Unavailable while the database is away."""

    async def fullest(self, periods: Sequence[BudgetPeriod]) -> Mapping[str, Fullness]:
        """The fullest bucket of each, by name of the budget; none of those that nothing is known of."""

    async def page(self, period: BudgetPeriod, after: Place | None, limit: int) -> Sequence[tuple[Place, Fullness]]:
        """Buckets that calls were counted in, the fullest first."""

    async def spent(self, period: BudgetPeriod, values: tuple[str, ...]) -> int:
        """What the ledger holds for one bucket, in nano-USD, whether it has a row or not."""

    async def find(self, keys: Collection[BucketKey]) -> Mapping[BucketKey, BucketRow]:
        """Those of `keys` that have a row."""

    async def rates(self, bucket_ids: Collection[uuid.UUID]) -> Rates:
        """Those of `bucket_ids` that have a TAT."""


def fullness_of(row: BucketRow) -> Fullness:
    """What a row says; what is provisional counts as held until the ledger says that it was spent."""
    return Fullness(row.name.values, row.spent, row.escrow + row.provisional)
