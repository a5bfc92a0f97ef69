"""What alerts are about: budgets that tell somebody, how far their buckets are, and what was told. Pure."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from tollway.config.v1 import resources_pb2 as pb

_PERIOD_PREFIX = "BUDGET_PERIOD_"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where alerts of a budget go. The URL is a secret with many receivers, and shown nowhere but in the budget."""

    url: str = field(repr=False)
    secret_ref: str

    @property
    def digest(self) -> bytes:
        """Tells receivers apart without showing them."""
        return hashlib.sha256(f"{self.url}\n{self.secret_ref}".encode()).digest()


@dataclass(frozen=True, slots=True)
class AlertedBudget:
    """A budget with a receiver. `uid` is that of its incarnation."""

    name: str
    uid: uuid.UUID
    generation: str
    amount_nano_usd: int
    per: tuple[str, ...]
    period: "pb.BudgetPeriod.ValueType"
    time_zone: str
    is_enforced: bool
    thresholds_percent: tuple[int, ...]
    receiver: Receiver

    @property
    def period_word(self) -> str:
        """As in manifests, e.g. "month"."""
        return pb.BudgetPeriod.Name(self.period).removeprefix(_PERIOD_PREFIX).lower()


@dataclass(frozen=True, slots=True)
class Window:
    """One period of a budget, aware UTC times; `end` None never ends."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class SpentBucket:
    """What the ledger holds of one bucket in one window; `values` are of the budget's `per`, in its order."""

    bucket_id: uuid.UUID
    window: Window
    values: tuple[str, ...]
    spent_nano_usd: int


@dataclass(frozen=True, slots=True)
class ToldThreshold:
    """An alert that was made of a bucket, whatever became of its delivery.

    amount_nano_usd: the budget's amount at that time.
    is_standing: the threshold has been passed ever since; a larger amount may end that.
    """

    alert_id: uuid.UUID
    threshold_percent: int
    amount_nano_usd: int
    is_standing: bool


class AlertState(IntEnum):
    """How the delivery of an alert stands; the numbers are those of the database."""

    PENDING = 1
    FAILING = 2
    DELIVERED = 3
    FAILED = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the delivery of an alert is; `reason` says why the last try failed.

    give_up_time: after it nothing is tried again.
    next_attempt_time: None when nothing more is to be tried.
    receiver_digest: where the last try went, for comparison only.
    """

    state: AlertState
    attempts: int
    give_up_time: datetime
    reason: str = ""
    last_attempt_time: datetime | None = None
    next_attempt_time: datetime | None = None
    deliver_time: datetime | None = None
    receiver_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is kept. `group` is the bucket's value of each dimension that the budget counts apart, and `body`
    what every try sends, so that repeats are alike.
    """

    alert_id: uuid.UUID
    budget: str
    budget_uid: uuid.UUID
    bucket_id: uuid.UUID
    group: Mapping[str, str]
    window: Window
    threshold_percent: int
    amount_nano_usd: int
    spent_nano_usd: int
    create_time: datetime
    body: bytes
    delivery: Delivery
