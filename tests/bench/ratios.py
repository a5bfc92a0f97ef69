"""Ratios of interleaved pairs: the median, and the interval that contains it with 95% confidence."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of the pairs' ratios with its confidence interval."""

    median: float
    low: float
    high: float

    def meets(self, bound: float) -> bool:
        """Whether the interval does not lie beyond `bound`."""
        return self.low <= bound

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def pair_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Distribution-free interval of the median from order statistics (binomial, p = 1/2).

    Below six pairs no such interval reaches 95%, and the smallest and largest ratio stand for it.
    """
    ratios = sorted(a / b for a, b in zip(numerators, denominators, strict=True))
    count, rank, tail = len(ratios), 0, 0.0
    while rank < count // 2:
        tail += math.comb(count, rank) * 0.5**count
        if 2 * tail > 1 - CONFIDENCE:
            break
        rank += 1
    position = max(0, rank - 1)
    return Ratio(statistics.median(ratios), ratios[position], ratios[count - 1 - position])
