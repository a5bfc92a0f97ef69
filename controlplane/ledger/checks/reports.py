"""What checks of the ledger find, as values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

MOST_DRIFTING_ROWS = 100
GAP_AGE_S = 60
MOST_GAPS = 1_000


class DriftKind(StrEnum):
    """What differs: sums or latencies of a group, the group's row itself, or the totals of a detached day."""

    SUMS = "sums"
    LATENCY = "latency"
    GROUP = "group"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True)
class Drift:
    """One sum that is not what it should be; money in nano-USD."""

    kind: DriftKind
    span_s: int
    slot: datetime
    sum: str
    expected: int
    found: int
    group_id: UUID | None = None
    group: Mapping[str, str] = field(default_factory=dict)
    bucket: int = 0


@dataclass(slots=True)
class DayReport:
    """What the comparison of a day found; `drifts` are those of the first MOST_DRIFTING_ROWS rows that differ."""

    day: date
    entries: int = 0
    cost_nano_usd: int = 0
    is_folded: bool = False
    only_totals: bool = False
    drifting_rows: int = 0
    drifts: list[Drift] = field(default_factory=list)

    def add(self, rows: Sequence[Sequence[Drift]]) -> None:
        """Take the drifts of some rows of sums, a list for each row."""
        room = max(0, MOST_DRIFTING_ROWS - self.drifting_rows)
        self.drifts += [drift for row in rows[:room] for drift in row]
        self.drifting_rows += len(rows)


@dataclass(frozen=True, slots=True)
class Repaired:
    """Rows of sums that a repair removed and made."""

    removed_sums: int
    made_sums: int
    removed_latencies: int
    made_latencies: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers of one producer, both ends included, that the ledger misses, first seen to be missing then."""

    boot_id: int
    first: int
    last: int
    seen_time: datetime


@dataclass(frozen=True, slots=True)
class DetachedDay:
    """A day whose entries were taken out; `is_kept` while their table is in the database."""

    day: date
    table_name: str
    entries: int
    cost_nano_usd: int
    adjustments: int
    detach_time: datetime
    is_kept: bool


@dataclass(frozen=True, slots=True)
class CheckRun:
    """The last nightly check; no `end_time` while it runs, or when it was cut short."""

    start_time: datetime
    end_time: datetime | None
    days: int
    drifts: int


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger as a whole; the days are None while there is nothing."""

    gaps: Sequence[Gap]
    stray_entries: int
    late_entries: int
    dead_letters: int
    detached_days: Sequence[DetachedDay]
    first_day: date | None
    last_day: date | None
    check: CheckRun | None
