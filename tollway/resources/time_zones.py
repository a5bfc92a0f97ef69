"""Time zones by their IANA names."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def parse_time_zone(name: str) -> tzinfo:
    """The time zone of an IANA name, UTC for an empty one. Raises ValueError."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{name[:60]}" is no IANA time zone; write one such as Europe/Berlin or UTC') from None
