"""One call: the provider's requests beside the lines of the ledger. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from tests.chaos.evidence import CRASHED, ClientEnding, Entry, Observation, ProviderCall
from tollway.kernel.usage import SettlementState

_GUESSED = (SettlementState.ESTIMATED, SettlementState.PARTIAL)


@dataclass(slots=True)
class CallReport:
    """What is wrong with one call, by invariant, and what was compared."""

    inexact: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)
    exact_lines: int = 0
    estimated_lines: int = 0
    estimated_nano_usd: int = 0
    true_nano_usd: int = 0
    """Of the lines that are estimates: what they say, and what the provider really counted."""

    @property
    def problems(self) -> int:
        return len(self.inexact) + len(self.doubled) + len(self.unaccounted)


def judge_call(seen: Observation, requests: Sequence[ProviderCall], lines: Sequence[Entry]) -> CallReport:
    """Every request has its line, in order; a line without one is of an attempt that did not reach the provider."""
    report = CallReport()
    tried = sorted((line for line in lines if line.attempt > 0), key=lambda line: line.attempt)
    _judge_shape(seen, requests, lines, report)
    if report.problems:
        return report
    pairings = [_judge_pairing(seen, requests, tried, places) for places in _placings(requests, tried)]
    if not pairings:
        shown = [line.upstream_model for line in tried], [request.model for request in requests]
        report.unaccounted.append(f"{seen.call}: lines of {shown[0]} are not those of the requests {shown[1]}")
        return report
    best = min(pairings, key=lambda paired: paired.problems)
    told = seen.cost_nano_usd
    if told is not None and (booked := sum(line.cost_nano_usd for line in tried)) != told:
        best.inexact.append(f"{seen.call}: the client was told {told} nano-USD, the ledger has {booked}")
    return best


def _judge_shape(
    seen: Observation, requests: Sequence[ProviderCall], lines: Sequence[Entry], report: CallReport
) -> None:
    """As many lines as there must be, one of them final, each attempt once."""
    attempts = sorted(line.attempt for line in lines)
    tried = [attempt for attempt in attempts if attempt]
    if len(set(attempts)) < len(attempts):
        report.doubled.append(f"{seen.call}: lines of attempts {attempts}")
    if len(tried) < len(requests) or (seen.ending is ClientEnding.GOOD and not tried):
        report.unaccounted.append(f"{seen.call}: {len(tried)} lines for {len(requests)} requests at the provider")
    if tried and tried != list(range(1, tried[-1] + 1)):
        report.unaccounted.append(f"{seen.call}: lines of attempts {attempts} alone")
    finals = [line.attempt for line in lines if line.final]
    if lines and finals != [attempts[-1]]:
        report.unaccounted.append(f"{seen.call}: lines of attempts {finals} are final, of {attempts}")


def _placings(requests: Sequence[ProviderCall], tried: Sequence[Entry]) -> list[tuple[int, ...]]:
    """The ways in which the requests, in their order, can be some of the lines."""
    return [
        places
        for places in combinations(range(len(tried)), len(requests))
        if all(tried[place].upstream_model == request.model for place, request in zip(places, requests, strict=True))
    ]


def _judge_pairing(
    seen: Observation, requests: Sequence[ProviderCall], tried: Sequence[Entry], places: Sequence[int]
) -> CallReport:
    report = CallReport()
    by_place = dict(zip(places, requests, strict=True))
    for place, line in enumerate(tried):
        is_answer = seen.ending is ClientEnding.GOOD and place == len(tried) - 1
        request = by_place.get(place)
        if request is None:
            _judge_unsent(seen, line, is_answer, report)
        elif line.state is SettlementState.REPORTED or (is_answer and request.reports_usage):
            _judge_exact(seen, request, line, report)
        else:
            _judge_unreported(seen, request, line, report)
    return report


def _judge_unsent(seen: Observation, line: Entry, is_answer: bool, report: CallReport) -> None:
    """Begun, and never at the provider: it cost nothing, or the gateway died before it could know that."""
    is_nothing = line.state is SettlementState.NOT_BILLED and line.cost_nano_usd == 0
    is_crash = line.error_code == CRASHED and line.state is SettlementState.ESTIMATED
    is_guess = line.state in _GUESSED and seen.ending in (ClientEnding.BROKEN, ClientEnding.LEFT)
    if is_answer or not (is_nothing or is_crash or is_guess):
        report.unaccounted.append(f"{seen.call}: {_shown(line)} though the provider has not seen it")


def _judge_exact(seen: Observation, request: ProviderCall, line: Entry, report: CallReport) -> None:
    report.exact_lines += 1
    wanted = (request.input_tokens, request.output_tokens, request.cost_nano_usd)
    got = (line.tokens[0], line.tokens[1], line.cost_nano_usd)
    if got != wanted or line.state is not SettlementState.REPORTED or not request.reports_usage:
        report.inexact.append(f"{seen.call}: {_shown(line)} where the provider has {wanted}, {request.ending}")


def _judge_unreported(seen: Observation, request: ProviderCall, line: Entry, report: CallReport) -> None:
    """What the provider refused costs nothing; what it did without telling is an estimate, and never nothing."""
    is_crash = line.error_code == CRASHED and line.state is SettlementState.ESTIMATED
    if request.is_failed and not is_crash:
        if line.state is not SettlementState.NOT_BILLED or line.cost_nano_usd:
            report.unaccounted.append(f"{seen.call}: {_shown(line)} though the provider refused it")
        return
    report.estimated_lines += 1
    report.estimated_nano_usd += line.cost_nano_usd
    report.true_nano_usd += request.cost_nano_usd
    if line.state not in _GUESSED or line.cost_nano_usd <= 0:
        report.unaccounted.append(f"{seen.call}: {_shown(line)}, no estimate of what is {request.ending}")


def _shown(line: Entry) -> str:
    counts = (*line.tokens[:2], line.cost_nano_usd)
    return f"attempt {line.attempt} is {line.state.word} {counts} {line.error_code or line.status}"
