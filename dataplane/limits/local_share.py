"""A rate limit's share of one data plane, while no lease is to be had: GCRA (ITU-T I.371) in integer microseconds.

A request for n units conforms when max(TAT, now) + n x T - now is at most burst x T; the TAT then moves on by n x T. T
is the time that one unit takes at the share of the rate. Pure.
"""

from dataclasses import dataclass

from dataplane.limits.buckets import Bucket

PARTS_PER_MILLION = 1_000_000
_US_PER_MS = 1000


@dataclass(slots=True)
class LocalShare:
    """`tat_us` is the theoretical arrival time, on the clock that callers read."""

    tat_us: int = 0

    def missing_ms(self, bucket: Bucket, share_ppm: int, amount: int, now_ms: int) -> int:
        """Milliseconds until `amount` units fit, 0 when they do now; the burst is never below one request."""
        now_us = now_ms * _US_PER_MS
        took_us = _duration_us(bucket, share_ppm, amount)
        burst_us = max(took_us, _duration_us(bucket, PARTS_PER_MILLION, bucket.burst))
        late_us = max(self.tat_us, now_us) + took_us - now_us - burst_us
        return max(0, -(-late_us // _US_PER_MS))

    def take(self, bucket: Bucket, share_ppm: int, amount: int, now_ms: int) -> None:
        """Books `amount` units."""
        self.tat_us = max(self.tat_us, now_ms * _US_PER_MS) + _duration_us(bucket, share_ppm, amount)


def _duration_us(bucket: Bucket, share_ppm: int, amount: int) -> int:
    """How long `amount` units take at `share_ppm` of the rate.

    The burst of a share takes as long as that of the whole: both are the share of their rate.
    """
    rate = max(1, bucket.amount * share_ppm)
    return -(-amount * bucket.window_ms * _US_PER_MS * PARTS_PER_MILLION // rate)
