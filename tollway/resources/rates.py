"""Rates of admin prices as integer nano-USD per million units, exactly or not at all."""

from tollway.admin.v1.prices_pb2 import Rate
from tollway.kernel.money import parse_usd
from tollway.kernel.pricing import UNITS_PER_RATE
from tollway.kernel.usage import Meter

METER_WORDS = tuple(meter.word for meter in Meter)
_MAX_NANO_USD = (1 << 63) - 1


def default_per(meter: str) -> int:
    """How many units a price buys when nothing is said: a million tokens, one request."""
    return 1 if meter == Meter.REQUEST.word else UNITS_PER_RATE


def rate_problem(rate: Rate) -> tuple[str, str] | None:
    """The field that keeps `rate` from being computed exactly, and why; None when it is fine."""
    try:
        nano_usd = parse_usd(rate.price_usd)
    except ValueError as error:
        return "price_usd", str(error)
    if nano_usd < 0:
        return "price_usd", "must not be negative"
    if rate.per <= 0:
        return "per", "must be positive: how many units price_usd buys"
    per_million, remainder = divmod(nano_usd * UNITS_PER_RATE, rate.per)
    if remainder:
        return "price_usd", f"{rate.price_usd} USD per {rate.per} is not a whole number of nano-USD per million units"
    if per_million > _MAX_NANO_USD:
        return "price_usd", "is too large"
    return None


def nano_usd_per_million(rate: Rate) -> int:
    """Exact nano-USD for a million units of a rate that has no problem."""
    return parse_usd(rate.price_usd) * UNITS_PER_RATE // rate.per
