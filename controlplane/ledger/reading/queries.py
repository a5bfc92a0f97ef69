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


@dataclass(frozen=True, slots=True)
class SumsQuery:
    """Sums of rollups in [start, end), whole quarter hours, per group and per slot of `interval_s` from `start` on.

    `interval_s` 0 is one slot. `after` is the last row of the page before: slot start when there are slots, then the
    group's values.
    """

    start: datetime
    end: datetime
    group_by: tuple[str, ...]
    interval_s: int
    conditions: tuple[Condition, ...]
    limit: int
    after: tuple[datetime | str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallsQuery:
    """Calls that began in [start_ms, end_ms), the newest first, each told by its final entry; `before` is exclusive."""

    start_ms: int
    end_ms: int
    conditions: tuple[Condition, ...]
    limit: int
    before: uuid.UUID | None = None
