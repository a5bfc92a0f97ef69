"""Runs as values: what was asked for, how far it is, and the identities that follow from it. Pure."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from controlplane.ledger.times import EPOCH
from tollway.kernel.usage import first_event_id

RUN_COLLECTION = "reratingRuns"
_RANDOM_BITS = 62
_ID_BYTES = 10


class RunState(IntEnum):
    """Where a run is in its life; values are those of tollway.admin.v1.ReratingState and of rerating_run.state."""

    PREVIEWING = 1
    PREVIEWED = 2
    POSTING = 3
    POSTED = 4
    CANCELED = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class ReratingRun:
    """One re-rating of the attempts that began in [start_time, end_time) and hold `filter`.

    `position` is the first event id that has not been examined in this state. Prices are those of `price_book` and of
    admins at `config_revision`. `post_time` is the time of adjustments of closed months.
    """

    run_id: uuid.UUID
    principal: str
    create_time: datetime
    start_time: datetime
    end_time: datetime
    filter: str
    price_book: str
    config_revision: int
    state: RunState
    position: uuid.UUID
    examined_entries: int = 0
    post_time: datetime | None = None
    post_principal: str = ""
    finish_time: datetime | None = None
    failure: str = ""

    @property
    def name(self) -> str:
        return f"{RUN_COLLECTION}/{self.run_id}"

    @property
    def is_posting(self) -> bool:
        return self.state is RunState.POSTING

    @property
    def first_id(self) -> uuid.UUID:
        """The smallest event id of the range."""
        return first_event_id(_ceil_ms(self.start_time))

    @property
    def end_id(self) -> uuid.UUID:
        """The smallest event id beyond the range."""
        return first_event_id(_ceil_ms(self.end_time))


def run_identity(now_ms: int, last: uuid.UUID | None, random_bits: int) -> uuid.UUID:
    """A UUIDv7 above `last`, so that runs are in the order of their ids whatever clocks say."""
    time_ms = now_ms if last is None else max(now_ms, (last.int >> 80) + 1)
    tail = random_bits & (1 << _RANDOM_BITS) - 1
    return uuid.UUID(int=time_ms << 80 | 0x7 << 76 | 0b10 << _RANDOM_BITS | tail)


def adjustment_identity(run_id: uuid.UUID, adjusts: uuid.UUID, time_ms: int) -> uuid.UUID:
    """The event id of the adjustment of entry `adjusts` by a run: the same whenever it is asked for.

    A UUIDv8 (RFC 9562) that begins with `time_ms`: no usage event, which has a UUIDv7, can have it.
    """
    digest = hashlib.sha256(run_id.bytes + adjusts.bytes).digest()[:_ID_BYTES]
    tail = int.from_bytes(digest, "big")
    high = tail >> 68 & 0xFFF
    low = tail & (1 << _RANDOM_BITS) - 1
    return uuid.UUID(int=time_ms << 80 | 0x8 << 76 | high << 64 | 0b10 << _RANDOM_BITS | low)


def parse_run(name: str) -> uuid.UUID | None:
    """The run id in a resource name; None when it holds none."""
    collection, _, text = name.rpartition("/")
    try:
        identity = uuid.UUID(text)
    except ValueError:
        return None
    return identity if collection == RUN_COLLECTION and str(identity) == text else None


def _ceil_ms(time: datetime) -> int:
    return -((EPOCH - time) // timedelta(milliseconds=1))
