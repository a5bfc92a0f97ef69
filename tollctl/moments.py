"""Times and durations as people type them: `24h`, `1h30m`, `30d`, `2026-11-01`, `2026-11-01T09:30:00Z`."""

import re
from datetime import UTC, datetime, timedelta

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d{1,9})([smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
DURATION_HINT = "write a duration such as 90s, 15m, 24h, 30d or 1h30m"
MOMENT_HINT = "write a duration such as 24h or 30d, or a time such as 2026-11-01 or 2026-11-01T09:30:00Z"


def parse_duration(text: str) -> timedelta:
    """Raises ValueError, with what to write instead, where text is no duration."""
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no duration: {DURATION_HINT}")
    try:
        return timedelta(seconds=sum(int(count) * _UNIT_S[unit] for count, unit in _PART.findall(text)))
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None


def parse_past(text: str, now: datetime) -> datetime:
    """A time, or a duration counted back from now. Raises ValueError."""
    return _parse_moment(text, now, -1)


def parse_future(text: str, now: datetime) -> datetime:
    """A time, or a duration counted on from now. Raises ValueError."""
    return _parse_moment(text, now, 1)


def _parse_moment(text: str, now: datetime, direction: int) -> datetime:
    if text == "now":
        return now
    try:
        if _DURATION.fullmatch(text) is not None:
            return now + direction * parse_duration(text)
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is out of range: {MOMENT_HINT}") from None
    except ValueError:
        raise ValueError(f"{text!r} is no time: {MOMENT_HINT}") from None


def render_moment(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second where there is no fraction."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def render_duration(duration: timedelta) -> str:
    """Seconds as the admin API reads them: `3600s`."""
    return f"{duration.total_seconds():g}s" if duration.microseconds else f"{int(duration.total_seconds())}s"


def render_age(moment: datetime, now: datetime) -> str:
    """The time since moment in its largest unit: `45s`, `12m`, `7h`, `31d`; a time ahead as `in 30d`."""
    seconds = int((now - moment).total_seconds())
    prefix, seconds = ("in ", -seconds) if seconds < 0 else ("", seconds)
    for unit in ("d", "h", "m"):
        if seconds >= 2 * _UNIT_S[unit]:
            return f"{prefix}{seconds // _UNIT_S[unit]}{unit}"
    return f"{prefix}{seconds}s"
