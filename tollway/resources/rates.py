"""Rates as integer nano-USD per million units: of admins exactly or not at all, of catalogs rounded up."""

import re
from decimal import Decimal

from tollway.admin.v1.prices_pb2 import Rate
from tollway.kernel.money import NANO_PER_USD, parse_usd
from tollway.kernel.pricing import PARTS_PER_MILLION, UNITS_PER_RATE
from tollway.kernel.usage import Meter

METER_WORDS = tuple(meter.word for meter in Meter)
MAX_NANO_USD = (1 << 63) - 1
_APIECE = frozenset(m.word for m in (Meter.REQUEST, Meter.IMAGE, Meter.SECOND, Meter.PAGE, Meter.SEARCH))
_PERCENT = re.compile(r"(?P<whole>[0-9]{1,3})(?:\.(?P<fraction>[0-9]{1,4}))?")
_PPM_PER_PERCENT = PARTS_PER_MILLION // 100
_SMALLEST_EXPONENT = -30


def default_per(meter: str) -> int:
    """How many units a price buys when nothing is said: a million tokens or characters, one of everything else."""
    return 1 if meter in _APIECE else UNITS_PER_RATE


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
    if per_million > MAX_NANO_USD:
        return "price_usd", "is too large"
    return None


def nano_usd_per_million(rate: Rate) -> int:
    """Exact nano-USD for a million units of a rate that has no problem."""
    return parse_usd(rate.price_usd) * UNITS_PER_RATE // rate.per


def catalog_nano_usd(price_usd: Decimal, per: int) -> int:
    """Nano-USD for a million units of what costs `price_usd` per `per` units.

    What is finer than a nano-USD is rounded up: never cheaper than the provider says. Raises ValueError for what is
    no price.
    """
    if not price_usd.is_finite() or price_usd < 0:
        raise ValueError(f"{price_usd} is not a price")
    if price_usd and not _SMALLEST_EXPONENT <= price_usd.adjusted() < -_SMALLEST_EXPONENT:
        raise ValueError(f"{price_usd} is not a credible price")
    usd, units = price_usd.as_integer_ratio()
    nano_usd = -(-usd * NANO_PER_USD * UNITS_PER_RATE // (units * per))
    if nano_usd > MAX_NANO_USD:
        raise ValueError(f"{price_usd} is not a credible price")
    return nano_usd


def price_usd(nano_usd_per_million: int, per: int) -> str:
    """What `per` units cost as an exact decimal string with at least two decimals: 2500000000, 1000000 -> "2.50"."""
    scale = NANO_PER_USD * UNITS_PER_RATE
    whole, rest = divmod(nano_usd_per_million * per, scale)
    fraction = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{fraction}"


def discount_ppm(percent: str) -> int:
    """Parts per million of a decimal string of percent. Raises ValueError when it is not from 0 to 100, or too fine."""
    match = _PERCENT.fullmatch(percent)
    if match is None:
        raise ValueError(f'"{percent}" is not a decimal number of percent such as "12.5", with at most four decimals')
    ppm = int(match["whole"]) * _PPM_PER_PERCENT + int((match["fraction"] or "").ljust(4, "0"))
    if ppm > PARTS_PER_MILLION:
        raise ValueError(f'"{percent}" is more than 100 percent')
    return ppm


def discount_percent(ppm: int) -> str:
    """The decimal string of a discount, "" for none."""
    whole, rest = divmod(ppm, _PPM_PER_PERCENT)
    fraction = f"{rest:04d}".rstrip("0")
    return "" if not ppm else f"{whole}.{fraction}" if fraction else str(whole)
