"""Times as numbers of logarithmic buckets, so that sums can tell percentiles within 5%. Pure.

Bucket n holds times from FIRST_US x GROWTH^n to that times GROWTH; what is shown for it is the geometric middle, at
most sqrt(1.1) - 1 = 4.9% away from any time in it. The first bucket also holds all shorter times, the last all longer
ones.
"""

import math
from collections.abc import Iterable

GROWTH = 1.1
FIRST_US = 100
LAST_BUCKET = 200
_LOG_GROWTH = math.log(GROWTH)


def bucket_of(duration_us: int) -> int:
    """The bucket of a time in microseconds; that of 0 for a negative one."""
    if duration_us <= FIRST_US:
        return 0
    return min(LAST_BUCKET, int(math.log(duration_us / FIRST_US) / _LOG_GROWTH))


def bucket_ms(bucket: int) -> float:
    """The time that stands for all of a bucket, in milliseconds."""
    return float(FIRST_US * GROWTH ** (bucket + 0.5) / 1000)


def percentile_ms(counts: Iterable[tuple[int, int]], fraction: float) -> float | None:
    """The time that `fraction` of all are not above; `counts` are (bucket, number). None when there are none."""
    ordered = sorted((bucket, number) for bucket, number in counts if number > 0)
    rank = math.ceil(fraction * sum(number for _, number in ordered))
    for bucket, number in ordered:
        rank -= number
        if rank <= 0:
            return bucket_ms(bucket)
    return None
