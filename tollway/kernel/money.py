"""Money is an integer count of nano-USD; at every edge it is a decimal string of USD."""

import re

NANO_PER_USD = 1_000_000_000
_DECIMALS = 9
_USD_PATTERN = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]{1,10})(?:\.(?P<fraction>[0-9]+))?")


def parse_usd(text: str) -> int:
    """Nano-USD of a decimal string such as "12.50".

    Raises ValueError for anything but a plain decimal, and for more than nine significant decimals.
    """
    match = _USD_PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a decimal amount of USD such as "12.50"')
    fraction = (match["fraction"] or "").rstrip("0")
    if len(fraction) > _DECIMALS:
        raise ValueError(f'"{text}" has more than {_DECIMALS} decimals')
    nano_usd = int(match["whole"]) * NANO_PER_USD + int(fraction.ljust(_DECIMALS, "0"))
    return -nano_usd if match["sign"] else nano_usd


def format_usd(nano_usd: int) -> str:
    """The shortest decimal string with at least two decimals: 12500000000 -> "12.50"."""
    whole, nano = divmod(abs(nano_usd), NANO_PER_USD)
    fraction = f"{nano:0{_DECIMALS}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano_usd < 0 else ''}{whole}.{fraction}"
