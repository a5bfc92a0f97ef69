"""The invariants of the ledger, one verdict for each. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.evidence import ClientEnding, Entry, Evidence, LedgerReading, ProviderCall
from tests.chaos.matching import CallReport, judge_call
from tests.chaos.sums import REPORTED, differences, reports_of, rollups_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one invariant: `violations` say what broke it, `numbers` what was looked at.

    An invariant that could not be looked at has `missing`, which says what for.
    """

    invariant: str
    promise: str
    violations: tuple[str, ...]
    numbers: Mapping[str, float]
    missing: str = ""

    @property
    def holds(self) -> bool:
        return not self.violations


def judge(evidence: Evidence, *, is_nothing_failed: bool = False, allows_late_leases: bool = False) -> list[Verdict]:
    """A verdict for each invariant; with `is_nothing_failed` also that no call failed, which not every fault allows.

    With `allows_late_leases` calls may have failed for which there was no lease in time.
    """
    reports = _judge_calls(evidence)
    verdicts = [
        _exact(reports),
        _once(evidence, reports),
        _summed(evidence.ledger),
        _accounted(evidence, reports),
    ]
    return [*verdicts, _served(evidence, allows_late_leases)] if is_nothing_failed else verdicts


def _judge_calls(evidence: Evidence) -> list[CallReport]:
    lines: dict[str, list[Entry]] = defaultdict(list)
    requests: dict[str, list[ProviderCall]] = defaultdict(list)
    for entry in evidence.ledger.entries:
        if not entry.is_adjustment:
            lines[entry.call].append(entry)
    for request in evidence.provider_calls:
        requests[request.user].append(request)
    return [judge_call(seen, requests[seen.call], lines[seen.call]) for seen in evidence.observations]


def _exact(reports: Sequence[CallReport]) -> Verdict:
    return Verdict(
        "L1",
        "tokens and nano-USD are the provider's where it reported them",
        _all(report.inexact for report in reports),
        {"exact lines": sum(report.exact_lines for report in reports)},
    )


def _once(evidence: Evidence, reports: Sequence[CallReport]) -> Verdict:
    ledger = evidence.ledger
    ids = Counter(entry.event_id for entry in ledger.entries)
    numbers = Counter((e.boot_id, e.sequence) for e in ledger.entries if e.boot_id and not e.is_adjustment)
    found = [f"event {event} is there {count} times" for event, count in ids.items() if count > 1]
    found += [f"producer {boot:x} has {count} of number {n}" for (boot, n), count in numbers.items() if count > 1]
    found += _gaps(ledger)
    if ledger.dead_letters:
        found.append(f"{ledger.dead_letters} events were not booked but put aside as dead letters")
    return Verdict(
        "L2",
        "no event twice, none missing of any producer, none put aside",
        (*found, *_all(report.doubled for report in reports)),
        {"entries": len(ledger.entries), "producers": len(ledger.producers or ())},
        missing="" if ledger.producers is not None else "producers and dead letters need --database-url",
    )


def _gaps(ledger: LedgerReading) -> list[str]:
    found = []
    for producer in ledger.producers or ():
        is_whole = len(producer.ranges) == 1 and producer.ranges[0][0] == 1
        if not is_whole:
            found.append(f"producer {producer.boot_id:x} is accounted for in {producer.ranges} alone")
        elif producer.ranges[0][1] != producer.entries:
            found.append(f"producer {producer.boot_id:x} has {producer.entries} entries for {producer.ranges[0][1]}")
    return found


def _summed(ledger: LedgerReading) -> Verdict:
    rollups = ledger.rollups
    found = [] if rollups is None else differences(rollups_of(ledger.entries), rollups)
    found += [f"admin API: {line}" for line in differences(reports_of(ledger.entries), ledger.reports, REPORTED)]
    return Verdict(
        "L3",
        "sums equal entries, in the database and in the admin API",
        tuple(found),
        {"rollups": len(rollups or ()), "groups of the admin API": len(ledger.reports)},
        missing="" if rollups is not None else "the database's rollups need --database-url",
    )


def _accounted(evidence: Evidence, reports: Sequence[CallReport]) -> Verdict:
    known = {seen.call for seen in evidence.observations}
    strangers = [f"{e.call!r}: a line of no call that was made" for e in evidence.ledger.entries if e.call not in known]
    return Verdict(
        "L5",
        "one line for each attempt at the provider, an estimate where it reported nothing",
        (*strangers, *_all(report.unaccounted for report in reports)),
        {
            "calls": len(reports),
            "requests at the provider": len(evidence.provider_calls),
            "estimates": sum(report.estimated_lines for report in reports),
            "estimated nano-USD": sum(report.estimated_nano_usd for report in reports),
            "their true nano-USD": sum(report.true_nano_usd for report in reports),
        },
    )


def _served(evidence: Evidence, allows_late_leases: bool) -> Verdict:
    bad = [
        seen
        for seen in evidence.observations
        if seen.ending in (ClientEnding.BROKEN, ClientEnding.REFUSED)
        and not (seen.denial is not None and seen.team in evidence.limited_teams)
        and not (allows_late_leases and seen.has_no_lease)
    ]
    return Verdict(
        "Z1",
        "no call failed and no answer was cut short",
        tuple(f"{seen.call}: {seen.ending.value} {seen.status} {seen.detail}" for seen in bad),
        {"calls": len(evidence.observations)},
    )


def _all(found: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(line for lines in found for line in lines)
