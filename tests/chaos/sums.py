"""What ledger entries add up to, computed without the product: the other side of every comparison of sums. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from tests.chaos.evidence import DIMENSIONS, Entry, SumKey, Sums
from tollway.kernel.usage import SettlementState

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
STATES = tuple(f"state_{state.word}" for state in SettlementState)
REPORTED = ("requests", "attempts", "refused", "errors", *TOKENS, "cost_nano_usd", *STATES)
"""What the admin API shows of a group."""
_MODEL = DIMENSIONS.index("requested_model")
_SLOT = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_ERROR_STATUS = 400
Key = TypeVar("Key")


def rollups_of(entries: Iterable[Entry]) -> dict[SumKey, Sums]:
    """By start of the quarter hour and dimensions, as usage_rollup has them."""
    return _summed(entries, lambda entry: (_slot(entry.start_time), entry.dimensions))


def reports_of(entries: Iterable[Entry]) -> dict[tuple[str, str], Sums]:
    """By team and requested model, as the admin API has them."""
    return _summed(entries, lambda entry: (entry.team, entry.dimensions[_MODEL]))


def differences(expected: Mapping[Key, Sums], got: Mapping[Key, Sums], names: Iterable[str] = ()) -> list[str]:
    """A line for each group whose sums are not the same; `names` are the sums to compare, all of them if empty."""
    found = []
    for key in sorted(expected.keys() | got.keys(), key=str):
        wanted, shown = expected.get(key, {}), got.get(key, {})
        compared = tuple(names) or tuple(wanted.keys() | shown.keys())
        wrong = {n: (shown.get(n, 0), wanted.get(n, 0)) for n in compared if shown.get(n, 0) != wanted.get(n, 0)}
        if wrong:
            found.append(f"sums of {key}: {', '.join(f'{n} {a} is not {b}' for n, (a, b) in sorted(wrong.items()))}")
    return found


def _summed(entries: Iterable[Entry], key_of: Callable[[Entry], Key]) -> dict[Key, Sums]:
    sums: dict[Key, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        sums[key_of(entry)].update(_additions(entry))
    return dict(sums)


def _slot(time: datetime) -> datetime:
    return time - (time - _EPOCH) % _SLOT


def _additions(entry: Entry) -> dict[str, int]:
    """What one entry adds: its call counts by its last line, its tokens, cost and state by every line."""
    cost, state = entry.cost_nano_usd, f"state_{entry.state.word}"
    if entry.is_adjustment:
        moved = {} if entry.prior_state is None else {state: 1, f"state_{entry.prior_state.word}": -1}
        moved = {} if entry.prior_state is entry.state else moved
        return moved | {"cost_nano_usd": cost, "adjustment_nano_usd": cost, "failed_cost_nano_usd": _failed(entry)}
    is_attempt = entry.attempt > 0
    is_request = is_attempt and entry.final
    counts = {
        "requests": int(is_request),
        "attempts": int(is_attempt),
        "refused": int(not is_attempt),
        "errors": int(is_request and entry.status >= _FIRST_ERROR_STATUS),
        "cost_nano_usd": cost,
        "failed_cost_nano_usd": _failed(entry),
    }
    return counts | dict(zip(TOKENS, entry.tokens, strict=True)) | ({state: 1} if is_attempt else {})


def _failed(entry: Entry) -> int:
    """The cost of a line that was not the last of its call, or whose call ended in an error."""
    return 0 if entry.final and entry.status < _FIRST_ERROR_STATUS else entry.cost_nano_usd
