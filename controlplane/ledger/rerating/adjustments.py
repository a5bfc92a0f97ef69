"""From an entry as the ledger has it and what it costs by other prices to the adjustment to post, if any. Pure.

A ledger that was re-rated by a price book adds up to what it would have been, had that book priced it from the start:
- Quantities are the entry's own, and so are its start time, its service tier and its basis.
- A price makes an entry what its basis says, or free; without a price it is unpriced, at no cost.
- What was not billed, refused or answered by the cache stays: no price has a say in it.
- An adjustment is the difference to the sum of the entry and all its adjustments. It is posted where the cost or the
  state differs: an unpriced entry that turns out to be free gets one of 0, or it would count as unpriced for ever.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from controlplane.ledger.periods.months import Calendar
from controlplane.ledger.rerating.runs import adjustment_identity
from tollway.kernel.usage import SettlementState

MAX_COST_NANO_USD = 2**53
"""As data planes bound it."""


class RatedUsage(NamedTuple):
    """What a price depends on; `meters` has quantities by the word of the meter, `start_time_us` Unix microseconds."""

    provider: str
    upstream_model: str
    service_tier: str
    start_time_us: int
    meters: Mapping[str, int]


class Rating(NamedTuple):
    """What some usage costs by the price `price` of revision `price_revision`, which may say that it is free."""

    cost_nano_usd: int
    is_free: bool
    price: str
    price_revision: int


class Rater(Protocol):
    """Prices of one book at one moment: the same usage always gets the same rating."""

    def rate(self, usage: RatedUsage) -> Rating | None:
        """None when no price is known for all that was used."""


class Standing(NamedTuple):
    """An attempt as it stands: `state` and `cost_nano_usd` are the entry's with all adjustments so far."""

    event_id: uuid.UUID
    team: str
    model: str
    usage: RatedUsage
    basis: SettlementState
    state: SettlementState
    cost_nano_usd: int


class Posting(NamedTuple):
    """The run that posts, and where: entries of months that `calendar` has closed are adjusted at `time_us`."""

    run_id: uuid.UUID
    time_us: int
    calendar: Calendar


class Adjustment(NamedTuple):
    """One entry to post: it adds `difference_nano_usd` and moves the state at `start_time_us`."""

    event_id: uuid.UUID
    adjusts: uuid.UUID
    start_time_us: int
    difference_nano_usd: int
    prior_state: SettlementState
    state: SettlementState
    price: str
    price_revision: int
    is_closed: bool


def adjustments_of(
    standings: Iterable[Standing], rater: Rater, posting: Posting
) -> Iterable[tuple[Standing, Adjustment]]:
    """What must be posted, with what it adjusts, in the order given."""
    for standing in standings:
        adjustment = adjustment_of(standing, rater.rate(standing.usage), posting)
        if adjustment is not None:
            yield standing, adjustment


def adjustment_of(standing: Standing, rating: Rating | None, posting: Posting) -> Adjustment | None:
    """The adjustment that makes `standing` what `rating` says; None where it is that already."""
    cost_nano_usd = 0 if rating is None else min(rating.cost_nano_usd, MAX_COST_NANO_USD)
    state = _state_of(standing.basis, rating)
    difference_nano_usd = cost_nano_usd - standing.cost_nano_usd
    if difference_nano_usd == 0 and state is standing.state:
        return None
    start_time_us = standing.usage.start_time_us
    is_closed = posting.calendar.is_closed(start_time_us)
    time_us = posting.time_us if is_closed else start_time_us
    return Adjustment(
        event_id=adjustment_identity(posting.run_id, standing.event_id, time_us // 1000),
        adjusts=standing.event_id,
        start_time_us=time_us,
        difference_nano_usd=difference_nano_usd,
        prior_state=standing.state,
        state=state,
        price="" if rating is None else rating.price,
        price_revision=0 if rating is None else rating.price_revision,
        is_closed=is_closed,
    )


def _state_of(basis: SettlementState, rating: Rating | None) -> SettlementState:
    if rating is None:
        return SettlementState.UNPRICED
    return SettlementState.FREE if rating.is_free else basis
