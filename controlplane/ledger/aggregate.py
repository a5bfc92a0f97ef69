"""Entries -> sums by quarter hour and dimensions. Pure: no clock, no I/O.

A call is counted by its final entry: as refused when it was refused before any attempt, else as a request, and as an
error when the client got a status of 400 or more. Attempts, tokens, cost and states are those of every attempt.
"""

from collections.abc import Iterable

from controlplane.ledger.entries import ROLLUP_SUMS, LedgerEntry, Rollup, token_sums
from tollway.kernel.periods import quarter_hour_start_s
from tollway.kernel.usage import SettlementState

_MICROSECONDS = 1_000_000
_FIRST_ERROR_STATUS = 400
_SUMS = len(ROLLUP_SUMS)
_REQUESTS, _ATTEMPTS, _REFUSED, _ERRORS, _INPUT, _OUTPUT, _CACHE_READ, _CACHE_WRITE, _REASONING, _COST = range(10)
_STATES = {state: ROLLUP_SUMS.index(f"state_{state.word}") for state in SettlementState}


def aggregate(entries: Iterable[LedgerEntry]) -> list[Rollup]:
    """Sums of `entries`, one per quarter hour and set of dimensions, ordered by these.

    The order lets two writers lock rows in the same sequence, so that they never wait for each other in a circle.
    """
    groups: dict[tuple[int | str, ...], list[int]] = {}
    for entry in entries:
        dimensions = _dimensions(entry)
        sums = groups.get(dimensions)
        if sums is None:
            sums = groups[dimensions] = [0] * _SUMS
        _add(sums, entry)
    return [Rollup._make((*dimensions, *groups[dimensions])) for dimensions in sorted(groups)]


def _dimensions(entry: LedgerEntry) -> tuple[int | str, ...]:
    return (
        quarter_hour_start_s(entry.start_time_us // _MICROSECONDS),
        entry.team,
        entry.key,
        entry.requested_model,
        entry.provider,
        entry.upstream,
        entry.upstream_model,
    )


def _add(sums: list[int], entry: LedgerEntry) -> None:
    if entry.attempt == 0:
        sums[_REFUSED] += entry.final
        return
    sums[_ATTEMPTS] += 1
    if entry.final:
        sums[_REQUESTS] += 1
        sums[_ERRORS] += entry.status >= _FIRST_ERROR_STATUS
    for offset, tokens in enumerate(token_sums(entry.meters), _INPUT):
        sums[offset] += tokens
    sums[_COST] += entry.cost_nano_usd
    sums[_STATES[entry.state]] += 1
