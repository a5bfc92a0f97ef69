"""How much came within a window, and how many ran at once: counted from the provider's own times. Pure."""

from collections.abc import Iterable, Sequence


def most_within(arrivals: Iterable[tuple[int, int]], window_ms: int) -> int:
    """The most that came in any span of `window_ms`; arrivals are (Unix milliseconds, amount)."""
    ordered = sorted(arrivals)
    most = total = first = 0
    for time_ms, amount in ordered:
        total += amount
        while ordered[first][0] <= time_ms - window_ms:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """The most spans (begin, end) that hold at one moment; one that ends when another begins is over by then."""
    edges = sorted(edge for begin, end in spans if end > begin for edge in ((begin, 1), (end, -1)))
    most = running = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


def span_ms(times_ms: Sequence[int]) -> int:
    """From the first to the last; 0 for none."""
    return max(times_ms) - min(times_ms) if times_ms else 0
