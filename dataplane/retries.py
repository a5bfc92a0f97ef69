"""How long to wait before something is tried again."""

import random
from collections.abc import Iterator


def doubling_delays(first_s: float, longest_s: float) -> Iterator[float]:
    """Seconds before each further attempt: `first_s`, then doubling up to `longest_s`, up to half of each by chance."""
    delay_s = first_s
    while True:
        yield delay_s * random.uniform(0.5, 1.0)  # noqa: S311
        delay_s = min(2 * delay_s, longest_s)
