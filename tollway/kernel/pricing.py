"""What usage costs: integer rates, one rounding per attempt, and which price holds for a model.

cost = ceil(sum(quantity x nano-USD per million) / 1,000,000)
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tollway.kernel.usage import Meter, Usage

UNITS_PER_RATE = 1_000_000
_REMEMBERED_MODELS = 4096

# Where a meter has no rate of its own, the one that stands in for it.
_STAND_IN: dict[Meter, Meter] = {
    Meter.CACHE_READ: Meter.INPUT,
    Meter.CACHE_WRITE_5M: Meter.INPUT,
    Meter.CACHE_WRITE_1H: Meter.CACHE_WRITE_5M,
    Meter.REASONING: Meter.OUTPUT,
    Meter.INPUT_AUDIO: Meter.INPUT,
    Meter.OUTPUT_AUDIO: Meter.OUTPUT,
    Meter.CACHE_READ_AUDIO: Meter.CACHE_READ,
}


@dataclass(frozen=True, slots=True)
class Rate:
    """Nano-USD per million units of a meter, for calls with more than `above_input_tokens` tokens of input."""

    meter: Meter
    nano_usd_per_million: int
    above_input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """The rates that hold for some models of a provider from a moment on.

    `provider` is "" for every provider, `models` a regular expression that must match the whole upstream model,
    `effective_from_ms` Unix milliseconds. A price with `override` set wins over all that have not.
    """

    name: str
    revision: int
    provider: str
    models: re.Pattern[str]
    rates: tuple[Rate, ...]
    effective_from_ms: int = 0
    override: bool = False
    exact: bool = False

    def cost_nano_usd(self, usage: Usage) -> int | None:
        """Cost of one attempt; None when a meter that was used has neither a rate nor a stand-in."""
        input_tokens = usage.input_tokens
        total = self._rate(Meter.REQUEST, input_tokens) or 0
        for meter, quantity in _billed(usage):
            rate = self._rate(meter, input_tokens)
            if rate is None:
                return None
            total += quantity * rate
        return -(-total // UNITS_PER_RATE)

    @property
    def is_free(self) -> bool:
        return all(rate.nano_usd_per_million == 0 for rate in self.rates)

    def _rate(self, meter: Meter, input_tokens: int) -> int | None:
        wanted: Meter | None = meter
        while wanted is not None:
            steps = [r for r in self.rates if r.meter is wanted and _applies(r, input_tokens)]
            if steps:
                return max(steps, key=_threshold).nano_usd_per_million
            wanted = _STAND_IN.get(wanted)
        return None


def _applies(rate: Rate, input_tokens: int) -> bool:
    return rate.above_input_tokens == 0 or input_tokens > rate.above_input_tokens


def _threshold(rate: Rate) -> int:
    return rate.above_input_tokens


def _billed(usage: Usage) -> Iterable[tuple[Meter, int]]:
    """Readings with reasoning taken out of output, so that each token is billed once."""
    for meter, quantity in usage.readings():
        billed = quantity - usage.reasoning if meter is Meter.OUTPUT else quantity
        if billed:
            yield meter, billed


@dataclass(slots=True)
class PriceIndex:
    """All prices of one snapshot, and which of them holds for a model.

    Overrides come first; then a price for the provider before one for every provider, an exact model before a
    pattern, the later `effective_from_ms`, and the order given.
    """

    prices: Sequence[Price] = ()
    _found: dict[tuple[str, str], tuple[Price, ...]] = field(default_factory=dict, repr=False)

    def find(self, provider: str, model: str, time_ms: int) -> Price | None:
        """The price of `model` at `provider` for a call that began at `time_ms`, or None when none is known."""
        key = (provider, model)
        candidates = self._found.get(key)
        if candidates is None:
            candidates = tuple(self._candidates(provider, model))
            if len(self._found) < _REMEMBERED_MODELS:
                self._found[key] = candidates
        return next((price for price in candidates if price.effective_from_ms <= time_ms), None)

    def _candidates(self, provider: str, model: str) -> list[Price]:
        matching = [p for p in self.prices if p.provider in ("", provider) and p.models.fullmatch(model)]
        return sorted(matching, key=lambda p: (not p.override, p.provider == "", not p.exact, -p.effective_from_ms))
