"""What an attempt may cost at most, and what it is expected to. Pure; integers, as in tollway.kernel.pricing."""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

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
REQUEST_METERS: Final = frozenset((Meter.REQUEST,))
SEARCH_METERS: Final = frozenset((Meter.SEARCH,))
_REMEMBERED: Final = 4_096


class CostBounds:
    """Bounds of cost by price; what the rates of each come to is remembered, within bounds."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def is_whole(self, price: Price, *, has_output: bool, is_search: bool = False) -> bool:
        """Whether `price` has a rate for plain tokens of each side; what has none could not be bounded.

        With `is_search` a rate for searches will do.
        """
        known = self._know(price)
        if is_search and known.dearest.search:
            return True
        return known.rates_input and (known.rates_output or not has_output)

    def bound_nano_usd(self, price: Price, input_tokens: int, output_tokens: int, searches: int = 0) -> int:
        """The most that tokens up to these can cost: each at the dearest rate of its side that so much can reach."""
        dearest = self._know(price).dearest
        if input_tokens > dearest.up_to_input_tokens:
            dearest = _dearest(price.rates, input_tokens)
        total = input_tokens * dearest.input + output_tokens * dearest.output + dearest.request
        total += searches * dearest.search
        total *= PARTS_PER_MILLION - price.discount_ppm
        return -(-total // (UNITS_PER_RATE * PARTS_PER_MILLION))

    def expected_nano_usd(self, price: Price, input_tokens: int, output_tokens: int, searches: int = 0) -> int:
        """What tokens of the plain kind cost; as a bound where the price has no rates for them, or searches count."""
        if searches:
            return self.bound_nano_usd(price, input_tokens, output_tokens, searches)
        plain = self._know(price).plain
        if plain is not None:
            total = input_tokens * plain[0] + output_tokens * plain[1]
            return plain[2] - (-total // UNITS_PER_RATE)
        cost = price.cost_nano_usd(Usage(input=input_tokens, output=output_tokens))
        return self.bound_nano_usd(price, input_tokens, output_tokens) if cost is None else cost

    def _know(self, price: Price) -> "_Known":
        known = self._known.get(id(price))
        if known is None or known.price is not price:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[id(price)] = _known(price)
        return known


class _Dearest(NamedTuple):
    """Nano-USD per million units, and per million calls; of calls with input up to `up_to_input_tokens`."""

    input: int
    output: int
    request: int
    search: int
    up_to_input_tokens: int


class _Known(NamedTuple):
    """What is remembered of a price: what its rates come to for calls of the smallest input.

    `plain` are nano-USD per million plain tokens of each side and per call; None where they depend on their number.
    `rates_input` and `rates_output` say whether plain tokens have a rate at all.
    """

    price: Price
    dearest: _Dearest
    plain: tuple[int, int, int] | None
    rates_input: bool
    rates_output: bool


def _known(price: Price) -> _Known:
    return _Known(
        price,
        _dearest(price.rates, 1),
        None if any(rate.above_input_tokens for rate in price.rates) else _plain(price),
        price.cost_nano_usd(Usage(input=1)) is not None,
        price.cost_nano_usd(Usage(output=1)) is not None,
    )


def _dearest(rates: Sequence[Rate], input_tokens: int) -> _Dearest:
    """Of what `input_tokens` reach; a call that turns out smaller may be priced by any rate below."""
    reached = [rate for rate in rates if rate.above_input_tokens < max(1, input_tokens)]
    further = [rate.above_input_tokens for rate in rates if rate.above_input_tokens >= max(1, input_tokens)]
    return _Dearest(
        _most(reached, INPUT_METERS),
        _most(reached, OUTPUT_METERS),
        _most(reached, REQUEST_METERS),
        _most(reached, SEARCH_METERS),
        min(further, default=sys.maxsize),
    )


def _plain(price: Price) -> tuple[int, int, int] | None:
    call = price.cost_nano_usd(Usage())
    million_in = price.cost_nano_usd(Usage(input=UNITS_PER_RATE))
    million_out = price.cost_nano_usd(Usage(output=UNITS_PER_RATE))
    if call is None or million_in is None or million_out is None:
        return None
    return million_in - call, million_out - call, call


def _most(rates: Sequence[Rate], meters: frozenset[Meter]) -> int:
    return max((rate.nano_usd_per_million for rate in rates if rate.meter in meters), default=0)
