"""Time zones by their IANA names."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_OF_THE_HOST = frozenset(("localtime", "posixrules", "Factory"))
"""Files that lie beside those of zones and are another one on each host."""


def parse_time_zone(name: str) -> tzinfo:
    """The time zone of an IANA name, UTC for an empty one. Raises ValueError."""
    if name in ("", "UTC"):
        return UTC
    try:
        if name in _OF_THE_HOST:
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{name[:60]}" is no IANA time zone; write one such as Europe/Berlin or UTC') from None
