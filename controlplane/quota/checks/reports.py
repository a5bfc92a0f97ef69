"""What the check of budgets finds, as values. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controlplane.quota.rows import BucketKey

MOST_DRIFTS = 100


class Sum(StrEnum):
    """What of a bucket is compared: what is charged, what that cost, and what its leases have outstanding."""

    SPENT = "spent"
    CHARGED_COST = "charged_cost"
    ESCROW = "escrow"
    PROVISIONAL = "provisional"


@dataclass(frozen=True, slots=True)
class CheckedBucket:
    """One bucket of a budget in a window that is not over; its sums in nano-USD, `spent` without what was before."""

    key: BucketKey
    rule: str
    values: tuple[str, ...]
    found: Mapping[Sum, int]


@dataclass(frozen=True, slots=True)
class BudgetDrift:
    """One sum that is not what it should be, in nano-USD."""

    bucket: CheckedBucket
    sum: Sum
    expected: int
    found: int


@dataclass(slots=True)
class BudgetReport:
    """Of `unverified` buckets, with charges in entries that are gone from the database, only leases are compared."""

    buckets: int = 0
    unverified: int = 0
    drifts: list[BudgetDrift] = field(default_factory=list)

    @property
    def shown(self) -> list[BudgetDrift]:
        return self.drifts[:MOST_DRIFTS]


def compare(
    buckets: Iterable[CheckedBucket], expected: Mapping[BucketKey, Mapping[Sum, int]], whole_from_ms: int
) -> BudgetReport:
    """`expected` are the sums by bucket, 0 where there are none; entries before `whole_from_ms` are not all there."""
    report = BudgetReport()
    for bucket in buckets:
        report.buckets += 1
        is_whole = bucket.key.window_start_ms >= whole_from_ms
        report.unverified += not is_whole
        report.drifts += _drifts(bucket, expected.get(bucket.key, {}), is_whole=is_whole)
    return report


def _drifts(bucket: CheckedBucket, expected: Mapping[Sum, int], *, is_whole: bool) -> Iterator[BudgetDrift]:
    for name, found in bucket.found.items():
        wanted = expected.get(name, 0)
        if found != wanted and (is_whole or name in (Sum.ESCROW, Sum.PROVISIONAL)):
            yield BudgetDrift(bucket, name, wanted, found)
