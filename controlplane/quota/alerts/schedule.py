"""When a delivery that failed is tried again. Pure."""

from datetime import datetime, timedelta

GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_DELAY_S = 3600
_DELAYS_S = (5, 30, 120, 600, 1800)
MOST_JITTER_PERCENT = 20


def next_attempt(
    give_up_time: datetime, now: datetime, attempts: int, *, retry_after_s: int = 0, jitter_percent: int = 0
) -> datetime | None:
    """When to try again after `attempts` that failed; None when that is after `give_up_time`.

    The delays are 5 s, 30 s, 2 min, 10 min, 30 min and then an hour each, lengthened by `jitter_percent` (0 to 20), and
    at least what the receiver asked for, up to an hour.
    """
    delay_s = _DELAYS_S[attempts - 1] if attempts <= len(_DELAYS_S) else LONGEST_DELAY_S
    delay = timedelta(seconds=delay_s) * (100 + min(jitter_percent, MOST_JITTER_PERCENT)) / 100
    moment = now + max(delay, timedelta(seconds=min(retry_after_s, LONGEST_DELAY_S)))
    return moment if moment <= give_up_time else None
