"""What an attempt may cost at most, and what it is expected to. Pure; integers, as in tollway.kernel.pricing."""

from typing import Final

from tollway.kernel.pricing import PARTS_PER_MILLION, UNITS_PER_RATE, Price, Rate
from tollway.kernel.usage import Meter, Usage

INPUT_METERS: Final = frozenset(
    (
        Meter.INPUT,
        Meter.CACHE_READ,
        Meter.CACHE_WRITE_5M,
        Meter.CACHE_WRITE_1H,
        Meter.INPUT_AUDIO,
        Meter.CACHE_READ_AUDIO,
        Meter.INPUT_IMAGE,
    )
)
OUTPUT_METERS: Final = frozenset((Meter.OUTPUT, Meter.REASONING, Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE))


def bound_nano_usd(price: Price, input_tokens: int, output_tokens: int) -> int:
    """The most that tokens up to these can cost: each at the dearest rate of its side that so much input can reach."""
    reached = [rate for rate in price.rates if rate.above_input_tokens < max(1, input_tokens)]
    total = input_tokens * _dearest(reached, INPUT_METERS) + output_tokens * _dearest(reached, OUTPUT_METERS)
    total += _dearest(reached, frozenset((Meter.REQUEST,)))
    total = total * (PARTS_PER_MILLION - price.discount_ppm)
    return -(-total // (UNITS_PER_RATE * PARTS_PER_MILLION))


def expected_nano_usd(price: Price, input_tokens: int, output_tokens: int) -> int:
    """What tokens of the plain kind cost; as a bound where the price has no rates for them."""
    cost = price.cost_nano_usd(Usage(input=input_tokens, output=output_tokens))
    return bound_nano_usd(price, input_tokens, output_tokens) if cost is None else cost


def _dearest(rates: list[Rate], meters: frozenset[Meter]) -> int:
    return max((rate.nano_usd_per_million for rate in rates if rate.meter in meters), default=0)
