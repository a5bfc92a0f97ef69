"""What a run changes, summed per team and model. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from controlplane.ledger.rerating.adjustments import Adjustment, Standing
from tollway.kernel.usage import SettlementState


@dataclass(slots=True)
class DifferenceSums:
    """Sums over changed entries; closed ones are those of closed months."""

    changed_entries: int = 0
    newly_priced_entries: int = 0
    newly_unpriced_entries: int = 0
    closed_entries: int = 0
    cost_before_nano_usd: int = 0
    cost_after_nano_usd: int = 0
    closed_difference_nano_usd: int = 0

    @property
    def difference_nano_usd(self) -> int:
        return self.cost_after_nano_usd - self.cost_before_nano_usd

    def add(self, standing: Standing, adjustment: Adjustment) -> None:
        difference_nano_usd = adjustment.difference_nano_usd
        self.changed_entries += 1
        if adjustment.state is not adjustment.prior_state:
            self.newly_priced_entries += adjustment.prior_state is SettlementState.UNPRICED
            self.newly_unpriced_entries += adjustment.state is SettlementState.UNPRICED
        self.cost_before_nano_usd += standing.cost_nano_usd
        self.cost_after_nano_usd += standing.cost_nano_usd + difference_nano_usd
        if adjustment.is_closed:
            self.closed_entries += 1
            self.closed_difference_nano_usd += difference_nano_usd


DIFFERENCE_SUMS = tuple(field.name for field in fields(DifferenceSums))
Differences = dict[tuple[str, str], DifferenceSums]
"""Sums by team and model."""


def summed(changes: Iterable[tuple[Standing, Adjustment]]) -> Differences:
    """Sums of `changes` per team and model, in order of these."""
    found: Differences = {}
    for standing, adjustment in changes:
        found.setdefault((standing.team, standing.model), DifferenceSums()).add(standing, adjustment)
    return dict(sorted(found.items()))
