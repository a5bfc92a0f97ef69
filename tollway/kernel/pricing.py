"""What usage costs: integer rates, one rounding per attempt.

cost = ceil(sum(quantity x nano-USD per million) x (1,000,000 - discount in parts per million) / 10^12)
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from tollway.kernel.plain_tests import TextTest
from tollway.kernel.usage import Meter, Usage

UNITS_PER_RATE = 1_000_000
PARTS_PER_MILLION = 1_000_000
ORDINARY_TIER = ""
EVERY_DAY = 0b111_1111
MINUTES_PER_DAY = 1440

_MS_PER_MINUTE = 60_000
_WEEKDAY_OF_DAY_0 = 3
_ALWAYS = -1

# Where a meter has no rate of its own, the one that stands in for it.
_STAND_IN: dict[Meter, Meter] = {
    Meter.CACHE_READ: Meter.INPUT,
    Meter.CACHE_WRITE_5M: Meter.INPUT,
    Meter.CACHE_WRITE_1H: Meter.CACHE_WRITE_5M,
    Meter.REASONING: Meter.OUTPUT,
    Meter.INPUT_AUDIO: Meter.INPUT,
    Meter.OUTPUT_AUDIO: Meter.OUTPUT,
    Meter.CACHE_READ_AUDIO: Meter.CACHE_READ,
    Meter.INPUT_IMAGE: Meter.INPUT,
    Meter.OUTPUT_IMAGE: Meter.OUTPUT,
}

_Steps: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of a threshold in input tokens and a rate; the first whose threshold is passed holds."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Nano-USD per million units of a meter, for calls with more than `above_input_tokens` tokens of input.

    `service_tier` is the class of service that it is for, "" the ordinary one.
    """

    meter: Meter
    nano_usd_per_million: int
    above_input_tokens: int = 0
    service_tier: str = ORDINARY_TIER


@dataclass(frozen=True, slots=True)
class Band:
    """Times of day in UTC, from `start_minute` to before `end_minute`; over midnight when that is not the later one.

    Bit 0 of `weekdays` is Monday; what is after midnight belongs to the day before.
    """

    start_minute: int
    end_minute: int
    weekdays: int = EVERY_DAY

    def holds(self, time_ms: int) -> bool:
        day, minute = divmod(time_ms // _MS_PER_MINUTE, MINUTES_PER_DAY)
        if self.start_minute < self.end_minute:
            is_within = self.start_minute <= minute < self.end_minute
        else:
            is_within = minute >= self.start_minute or minute < self.end_minute
            day -= minute < self.start_minute
        return is_within and bool(self.weekdays >> (day + _WEEKDAY_OF_DAY_0) % 7 & 1)


@dataclass(frozen=True, slots=True)
class Price:
    """The rates that hold for some models of a provider from a moment on, in a band of the day or all the time.

    `provider` is "" for every provider, `models` what must match the whole upstream model, `effective_from_ms` Unix
    milliseconds. Without rates it is a discount on what the book says.
    """

    name: str
    revision: int
    provider: str
    models: TextTest
    rates: tuple[Rate, ...]
    effective_from_ms: int = 0
    exact: bool = False
    band: Band | None = None
    discount_ppm: int = 0
    _tables: dict[str, tuple[_Steps, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def cost_nano_usd(self, usage: Usage, service_tier: str = ORDINARY_TIER) -> int | None:
        """Cost of one attempt; None when a meter that was used has neither a rate nor a stand-in."""
        table = self._tables.get(service_tier)
        if table is None:
            table = self._table(service_tier)
        input_tokens = usage.input_tokens
        total = 0
        for above, rate in table[Meter.REQUEST]:
            if input_tokens > above:
                total = rate
                break
        for meter, quantity in billed_readings(usage):
            for above, rate in table[meter]:
                if input_tokens > above:
                    total += quantity * rate
                    break
            else:
                return None
        if not self.discount_ppm:
            return -(-total // UNITS_PER_RATE)
        return -(-total * (PARTS_PER_MILLION - self.discount_ppm) // (UNITS_PER_RATE * PARTS_PER_MILLION))

    @property
    def is_free(self) -> bool:
        return self.discount_ppm == PARTS_PER_MILLION or all(rate.nano_usd_per_million == 0 for rate in self.rates)

    def holds(self, time_ms: int) -> bool:
        """Whether it is in force for a call that began at `time_ms`, Unix milliseconds."""
        return self.effective_from_ms <= time_ms and (self.band is None or self.band.holds(time_ms))

    def _table(self, service_tier: str) -> tuple[_Steps, ...]:
        """Steps by meter; kept only for tiers with rates of their own, as an upstream may report any text."""
        if service_tier and all(rate.service_tier != service_tier for rate in self.rates):
            service_tier = ORDINARY_TIER
        table = self._tables.get(service_tier)
        if table is None:
            table = ((), *(_steps(self.rates, meter, service_tier) for meter in Meter))
            self._tables[service_tier] = table
        return table


def _steps(rates: Iterable[Rate], meter: Meter, service_tier: str) -> _Steps:
    """A tier's own rates, then the ordinary ones, then those of the meter that stands in."""
    steps: list[tuple[int, int]] = []
    wanted: Meter | None = meter
    while wanted is not None:
        for tier in dict.fromkeys((service_tier, ORDINARY_TIER)):
            own = [rate for rate in rates if rate.meter is wanted and rate.service_tier == tier]
            own.sort(key=lambda rate: -rate.above_input_tokens)
            steps += [(rate.above_input_tokens or _ALWAYS, rate.nano_usd_per_million) for rate in own]
        wanted = _STAND_IN.get(wanted)
    end = next((at for at, (above, _) in enumerate(steps, 1) if above == _ALWAYS), len(steps))
    return tuple(steps[:end])


def billed_readings(usage: Usage) -> Iterable[tuple[Meter, int]]:
    """Readings with reasoning taken out of output, so that each token is billed once."""
    readings = usage.readings()
    if not usage.reasoning:
        return readings
    billed = ((m, max(0, n - usage.reasoning) if m is Meter.OUTPUT else n) for m, n in readings)
    return [(meter, quantity) for meter, quantity in billed if quantity]
