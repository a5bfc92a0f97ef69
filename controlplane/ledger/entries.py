"""What the ledger keeps, as values: entries, their sums, and what could not be booked."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tollway.kernel.usage import SettlementState

WHOLE_MESSAGE = -1


class EntryCharge(NamedTuple):
    """What an attempt takes from one bucket of a budget in one window; `lease_id` None where it had no lease of it.

    `counts` is false for all but the first charge of an entry to a bucket.
    """

    bucket_id: uuid.UUID
    lease_id: uuid.UUID | None
    window_start_ms: int
    amount_nano_usd: int
    counts: bool


class LedgerEntry(NamedTuple):
    """One usage event as a fact: an attempt of a call, or with `attempt` 0 a call that was refused before any.

    Times are Unix microseconds, 0 where they did not happen. `meters` has quantities by the word of the meter, in the
    order of meters, and no zeros.
    `basis` is how the quantities are known, whatever became of their price; None where nothing was used.

    With `adjusts` it is an adjustment of the entry of that event id, posted by run `run_id`: `cost_nano_usd` is then a
    difference, which may be negative, `prior_state` and `state` are those before and after, there are no meters, and it
    counts as no attempt.
    """

    event_id: uuid.UUID
    boot_id: int
    sequence: int
    request_id: uuid.UUID
    client_request_id: str
    attempt: int
    final: bool
    team: str
    key: str
    user: str
    end_user: str
    metadata: dict[str, str]
    operation: str
    route: str
    requested_model: str
    upstream: str
    provider: str
    upstream_model: str
    response_model: str
    stream: bool
    start_time_us: int
    first_frame_time_us: int
    end_time_us: int
    status: int
    error_code: str
    client_gone: bool
    meters: dict[str, int]
    state: SettlementState
    cost_nano_usd: int
    price: str
    price_revision: int
    traceparent: str
    service_tier: str
    basis: SettlementState | None
    call_start_time_us: int
    adjusts: uuid.UUID | None = None
    run_id: uuid.UUID | None = None
    prior_state: SettlementState | None = None
    charges: tuple[EntryCharge, ...] = ()


GROUP_DIMENSIONS = (
    "team",
    "key",
    "key_owner",
    "requested_model",
    "route",
    "provider",
    "upstream",
    "upstream_model",
)
"""What sums are kept by, beside the declared metadata keys; columns of entries and of usage_group alike."""

STATE_SUMS = tuple(f"state_{state.word}" for state in SettlementState)
TOKEN_SUMS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
ROLLUP_SUMS = (
    "requests",
    "attempts",
    "refused",
    "errors",
    *TOKEN_SUMS,
    "cost_nano_usd",
    "failed_cost_nano_usd",
    "adjustment_nano_usd",
    *STATE_SUMS,
)
LATENCY_COUNTS = ("durations", "first_frames")


class TokenSums(NamedTuple):
    """Tokens as reports show them: input includes cached ones, output includes reasoning."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of the usage stream as it was delivered; `deliveries` counts this one."""

    subject: str
    stream_sequence: int
    deliveries: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or the event at `event_index` of one, that can never be booked; kept for a person to look at."""

    subject: str
    stream_sequence: int
    deliveries: int
    event_index: int
    payload: bytes = field(repr=False)
    reason: str
    boot_id: int = 0
    sequence: int = 0
    """Of an event whose identity can be read all the same; 0 otherwise."""


@dataclass(frozen=True, slots=True)
class BookedBatch:
    """What one transaction did: how many entries were new, and how many were there before."""

    inserted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class ProducerRange:
    """Sequence numbers of one producer, both ends included, that a transaction accounts for."""

    boot_id: int
    first: int
    last: int


def token_sums(meters: Mapping[str, int]) -> TokenSums:
    """The sums that reports show of one entry's meters."""
    read = meters.get
    cache_read = read("cache_read", 0) + read("cache_read_audio", 0)
    cache_write = read("cache_write_5m", 0) + read("cache_write_1h", 0)
    fresh = read("input", 0) + read("input_audio", 0) + read("input_image", 0)
    output = read("output", 0) + read("output_audio", 0) + read("output_image", 0)
    return TokenSums(fresh + cache_read + cache_write, output, cache_read, cache_write, read("reasoning", 0))
