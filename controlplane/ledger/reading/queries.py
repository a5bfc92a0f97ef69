"""What readers of the ledger ask for. Pure."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.ledger.reading.filters import Condition

Row = Mapping[str, Any]
"""A row of sums or an entry, by column."""

LAST_MS = (1 << 48) - 1
CLOCK_SLACK_MS = 60_000
NO_BUCKET = -1
"""The bucket of percentiles where there are no calls."""
PERCENTILES = (
    "duration_p50_ms",
    "duration_p95_ms",
    "time_to_first_token_p50_ms",
    "time_to_first_token_p95_ms",
)


FEW_ROWS = 200


@dataclass(frozen=True, slots=True)
class Order:
    """By a column of sums or one of PERCENTILES."""

    measure: str
    is_descending: bool


@dataclass(frozen=True, slots=True)
class SumsQuery:
    """Sums per group and per slot between two of `boundaries`, which are whole quarter hours.

    `latencies` says whether rows have percentiles; None lets those of one dimension, filter included, have
    them that are FEW_ROWS at most.
    `after` is the last row of the page before: its measure when there is an order, the number of its slot, then the
    group's values.
    """

    boundaries: tuple[datetime, ...]
    group_by: tuple[str, ...]
    conditions: tuple[Condition, ...]
    limit: int
    order: Order | None = None
    latencies: bool | None = False
    after: tuple[Any, ...] = ()

    @property
    def start(self) -> datetime:
        return self.boundaries[0]

    @property
    def end(self) -> datetime:
        return self.boundaries[-1]

    @property
    def dimensions(self) -> frozenset[str]:
        """All that the sums must be kept by."""
        return frozenset((*self.group_by, *(condition.dimension for condition in self.conditions)))


@dataclass(frozen=True, slots=True)
class CallsQuery:
    """Calls that began in [start_ms, end_ms), the newest first, each told by its final entry; `before` is exclusive."""

    start_ms: int
    end_ms: int
    conditions: tuple[Condition, ...]
    limit: int
    before: uuid.UUID | None = None
