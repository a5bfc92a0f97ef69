"""The invariants of limits, one verdict for each. Pure; they are told from the provider's counts and the ledger alone.

The bounds are those of docs/limits.md. A rate limit admits in any window its amount, its burst, and what data planes
hold unused: at most half of what comes in HORIZON_S seconds for each of them, all of them together that much.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.chaos.checker import Verdict
from tests.chaos.evidence import ClientEnding, Evidence, ProviderCall
from tests.chaos.limits.counting import most_at_once, most_within, span_ms
from tests.chaos.limits.evidence import BudgetCap, Counted, LimitEvidence, RateCap, Sample, SlotCap
from tollway.kernel.usage import SettlementState

HORIZON_MS = 2_000
HOLDERS_SHARE = 2
USED_OF_LARGE_PPM = 995_000
USED_OF_RATE_PPM = 950_000
OFFERED_PPM = 2_500_000
"""Of a rate's limit: what must have been asked for before it is said that little of it was used."""
LARGE_CALLS = 5_000
WINDOW_PARTS = (1, 4, 12)
LATE_BY_MS = 250
"""Calls that were let through at different moments may come to the provider by so much closer together."""
NOTICED_WITHIN_MS = 200
"""After its client has left, the provider may take that long to see it: such a call is over by then."""
_WHOLE_PPM = 1_000_000
_KNOWN = (SettlementState.REPORTED, SettlementState.NOT_BILLED)
_PAYMENT_REQUIRED, _TOO_MANY, _UNAVAILABLE = 402, 429, 503


def judge_limits(evidence: Evidence, limits: LimitEvidence) -> list[Verdict]:
    """A verdict for each invariant that these rules have."""
    served = _served_by_team(evidence.provider_calls, limits)
    budgets = [cap for cap in limits.caps if isinstance(cap, BudgetCap)]
    rates = [cap for cap in limits.caps if isinstance(cap, RateCap)]
    slots = [cap for cap in limits.caps if isinstance(cap, SlotCap)]
    verdicts = (
        [_kept(budgets, served), _covered(budgets, limits), _counted(budgets, evidence, limits)] if budgets else []
    )
    used_up = [cap for cap in budgets if cap.is_used_up]
    verdicts += [_used_up(used_up, limits)] if used_up else []
    verdicts += [_paced(rates, served, limits)] if rates else []
    verdicts += [_bounded(slots, served)] if slots else []
    verdicts += [] if limits.held is None else [_released(limits.held)]
    return [*verdicts, _told(evidence)]


def _served_by_team(calls: Iterable[ProviderCall], limits: LimitEvidence) -> dict[str, list[ProviderCall]]:
    served: dict[str, list[ProviderCall]] = defaultdict(list)
    for call in calls:
        served[limits.teams.get(call.user, "")].append(call)
    return served


def _kept(budgets: Sequence[BudgetCap], served: dict[str, list[ProviderCall]]) -> Verdict:
    found, numbers = [], {}
    for cap in budgets:
        cost = sum(call.cost_nano_usd for call in served[cap.team])
        numbers[f"{cap.rule} ppm"] = cost * _WHOLE_PPM // cap.amount_nano_usd
        if cost > cap.amount_nano_usd + cap.overrun_nano_usd:
            found.append(f"{cap.rule}: the provider served {cost} nano-USD of {cap.amount_nano_usd}")
    return Verdict("B1", "what the provider served is within each budget", tuple(found), numbers)


def _used_up(budgets: Sequence[BudgetCap], limits: LimitEvidence) -> Verdict:
    """By what the ledger has, estimates of killed data planes included."""
    found, numbers = [], {}
    for cap in budgets:
        left = cap.amount_nano_usd - _spent(limits.at_rest, cap.rule)
        numbers[f"{cap.rule} left"] = left
        if left >= cap.reservation_nano_usd * limits.data_planes:
            found.append(f"{cap.rule}: {left} nano-USD are left, a call holds {cap.reservation_nano_usd}")
        if cap.calls >= LARGE_CALLS and left * _WHOLE_PPM > cap.amount_nano_usd * (_WHOLE_PPM - USED_OF_LARGE_PPM):
            found.append(f"{cap.rule}: {left} of {cap.amount_nano_usd} nano-USD are left, more than half a percent")
    return Verdict(
        "B2", "a budget that refuses for good has less left than one call per data plane", tuple(found), numbers
    )


def _counted(budgets: Sequence[BudgetCap], evidence: Evidence, limits: LimitEvidence) -> Verdict:
    """Each budget is over all usage of its team, and began with nothing.

    What was not reported may be charged at more than its estimate: at what was held for it.
    """
    found = []
    for cap in budgets:
        spent = _spent(limits.at_rest, cap.rule)
        entries = [entry for entry in evidence.ledger.entries if entry.team == cap.team]
        booked = sum(entry.cost_nano_usd for entry in entries)
        is_reported = all(entry.state in _KNOWN for entry in entries)
        if spent < booked or (is_reported and spent != booked):
            found.append(f"{cap.rule} has {spent} nano-USD spent, the ledger {booked} for {cap.team}")
        charged = spent if limits.charged is None else limits.charged.get(cap.rule, 0)
        if charged != spent:
            found.append(f"{cap.rule} has {spent} nano-USD spent, and {charged} are charged to it")
    return Verdict("B3", "what a budget has spent is what the ledger holds", tuple(found), {"budgets": len(budgets)})


def _covered(budgets: Sequence[BudgetCap], limits: LimitEvidence) -> Verdict:
    """At every look: nothing was served that is neither booked nor held, and no more is held than there is."""
    looks = [*limits.samples, *([] if limits.at_rest is None else [limits.at_rest])]
    found = [line for look in looks for cap in budgets for line in _uncovered(cap, look)]
    promise = "at any time what was served is booked or held, and that is within the budget"
    return Verdict("L4", promise, tuple(found), {"looks": len(looks)})


def _uncovered(cap: BudgetCap, look: Sample) -> list[str]:
    """A budget has no bucket before its first call."""
    served = look.served_nano_usd.get(cap.rule, 0)
    bucket = look.buckets.get(cap.rule)
    if bucket is None:
        return [f"{cap.rule} at {look.time_ms}: {served} nano-USD were served and nothing is held"] if served else []
    held = bucket.spent + bucket.escrow
    found = []
    if served > held + cap.overrun_nano_usd:
        found.append(f"{cap.rule} at {look.time_ms}: {served} nano-USD were served, {bucket} are booked and held")
    if held > cap.amount_nano_usd + cap.overrun_nano_usd:
        found.append(f"{cap.rule} at {look.time_ms}: {bucket} are more than the {cap.amount_nano_usd} that there are")
    return found


def _paced(rates: Sequence[RateCap], served: dict[str, list[ProviderCall]], limits: LimitEvidence) -> Verdict:
    found: list[str] = []
    idle: list[str] = []
    numbers: dict[str, float] = {}
    for cap in rates:
        arrivals = _arrivals(cap, served[cap.team])
        for window_ms in (cap.window_ms // part for part in WINDOW_PARTS):
            most = most_within(arrivals, window_ms)
            bound = _rate_bound(cap, window_ms)
            numbers |= {f"{cap.rule} in {window_ms} ms": most, f"{cap.rule} bound in {window_ms} ms": bound}
            if most > bound:
                found.append(
                    f"{cap.rule}: {most} {cap.counted.value} within {window_ms} ms, at most {bound} were promised"
                )
        if cap.is_saturated:
            numbers[f"{cap.rule} ppm"] = used_ppm = _used_ppm(cap, arrivals)
            numbers[f"{cap.rule} offered ppm"] = offered_ppm = _offered_ppm(used_ppm, cap, served[cap.team], limits)
            if offered_ppm < OFFERED_PPM:
                idle.append(f"{cap.rule} needs {OFFERED_PPM} ppm of it to be asked for to see whether it is used")
            elif used_ppm < USED_OF_RATE_PPM:
                found.append(f"{cap.rule}: {used_ppm} ppm of the limit were let through, though more was asked for")
    return Verdict("Q1", "rates are within the published bound, and are used", tuple(found), numbers, "; ".join(idle))


def _offered_ppm(used_ppm: int, cap: RateCap, calls: Sequence[ProviderCall], limits: LimitEvidence) -> int:
    """What was asked for, as a part of what the limit lets through: a machine may be too slow to ask for much."""
    asked = sum(team == cap.team for team in limits.teams.values())
    let_through = len({call.user for call in calls})
    return used_ppm * asked // let_through if let_through else 0


def _rate_bound(cap: RateCap, window_ms: int) -> int:
    """What may come to the provider within any `window_ms`, calls of a moment before that were late included."""
    held = cap.amount * HORIZON_MS // (HOLDERS_SHARE * cap.window_ms)
    return cap.amount * (window_ms + LATE_BY_MS) // cap.window_ms + cap.burst + held


def _arrivals(cap: RateCap, calls: Sequence[ProviderCall]) -> list[tuple[int, int]]:
    """When calls came to the provider, and what they count; a call that is tried again counts once as a request."""
    if cap.counted is Counted.TOKENS:
        return [(call.began_ms, call.input_tokens + call.output_tokens) for call in calls]
    first: dict[str, int] = {}
    for call in calls:
        first[call.user] = min(call.began_ms, first.get(call.user, call.began_ms))
    return [(time_ms, 1) for time_ms in first.values()]


def _used_ppm(cap: RateCap, arrivals: Sequence[tuple[int, int]]) -> int:
    """Of what comes at the limit's pace from the first call to the last, beyond the burst, which is there before."""
    elapsed_ms = span_ms([time_ms for time_ms, _ in arrivals])
    earned = cap.amount * elapsed_ms // cap.window_ms
    return (sum(amount for _, amount in arrivals) - cap.burst) * _WHOLE_PPM // earned if earned else 0


def _bounded(slots: Sequence[SlotCap], served: dict[str, list[ProviderCall]]) -> Verdict:
    found, numbers = [], {}
    for cap in slots:
        most = most_at_once(_span(call) for call in served[cap.team])
        numbers[f"{cap.rule} most"] = most
        if most > cap.amount:
            found.append(f"{cap.rule}: {most} calls were at the provider at once, {cap.amount} are allowed")
    return Verdict("C1", "never more calls at the provider at once than allowed", tuple(found), numbers)


def _span(call: ProviderCall) -> tuple[int, int]:
    is_left = call.ending in ("aborted", "running")
    return call.began_ms, call.ended_ms - (NOTICED_WITHIN_MS if is_left else 0)


def _released(held: tuple[str, ...]) -> Verdict:
    return Verdict("Q2", "nothing is reserved or leased any more once all is quiet", held, {})


def _told(evidence: Evidence) -> Verdict:
    """SDKs try again unless they are told not to: each refusal tells, and those to be tried again say when."""
    found, denied = [], 0
    for seen in evidence.observations:
        denial = seen.denial
        if denial is None or seen.ending is not ClientEnding.REFUSED:
            continue
        denied += 1
        is_silent = denial.should_retry is None and seen.status == _PAYMENT_REQUIRED
        is_timeless = denial.retry_after_ms is None and (
            denial.should_retry or seen.status in (_TOO_MANY, _UNAVAILABLE)
        )
        if is_silent or is_timeless:
            found.append(f"{seen.call}: {seen.status} {denial}")
    promise = "refusals tell whether and when to try again"
    return Verdict("E1", promise, tuple(found), {"refusals": denied})


def _spent(look: Sample | None, rule: str) -> int:
    bucket = None if look is None else look.buckets.get(rule)
    return 0 if bucket is None else bucket.spent
