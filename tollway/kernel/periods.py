"""Time slots of rollups, on Unix time: quarter hours, because half-hour and three-quarter-hour time zones exist."""

from datetime import UTC, datetime

QUARTER_HOUR_S = 900
HOUR_S = 3600
DAY_MS = 86_400_000


def quarter_hour_start_s(unix_time_s: int) -> int:
    """Start of the quarter hour that contains `unix_time_s`."""
    return unix_time_s - unix_time_s % QUARTER_HOUR_S


def quarter_hour_start(time: datetime) -> datetime:
    """Start of the quarter hour that contains `time`, in UTC."""
    return datetime.fromtimestamp(quarter_hour_start_s(int(time.timestamp() // 1)), UTC)
