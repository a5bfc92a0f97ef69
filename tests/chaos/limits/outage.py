"""T9: control planes away. Valid leases go on, and after them each rule does what it says for that case."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.attacks import Size
from tests.chaos.campaign import Stage
from tests.chaos.checker import Verdict
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import ClientEnding, Observation
from tests.chaos.limits.attacks import promise
from tests.chaos.limits.rules import unavailable_budget, unavailable_rate
from tests.chaos.load import Caller, Kind, Load

_CALL = Kind(1, "sim/echo", stream=False)
_INTERVAL_S = 0.1
_WARM_UP_S = 3.0
_RATE_PER_S = 50
_RATE_OVER_S = 5.0
"""After that no lease of a rate holds any more."""
_BUDGET_OVER_S = 61.0
_BACK_WITHIN_S = 10.0
_DENIED, _SERVED, _EXCEEDED = "quota_unavailable", "served", "rate_limit_exceeded"
PRESSED = "rate local_share pressed"
PRESSED_PER_S = 2
"""Of ten that are asked for: what each data plane lets through is its share of it."""


@dataclass(slots=True)
class Trickle:
    """A call of one caller every tenth of a second; `seen` counts how they ended in the phase of the moment."""

    name: str
    load: Load
    caller: Caller
    seen: dict[str, Counter[str]] = field(default_factory=dict)
    phase: str = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            phase = self.phase
            outcome = await self.load.call_once(_CALL, self.caller)
            if phase == self.phase:
                self.seen.setdefault(phase, Counter())[_word(outcome)] += 1
            await asyncio.sleep(_INTERVAL_S)


async def take_controlplanes_down(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """First one, then both, for `seconds`."""
    rate_deny, rate_allow, rate_share, budget_deny, budget_allow, pressed = stage.site.limited[:6]
    rules = [
        unavailable_rate(rate_deny, _RATE_PER_S, "deny"),
        unavailable_rate(rate_allow, _RATE_PER_S, "allow"),
        unavailable_rate(rate_share, _RATE_PER_S, "local_share"),
        unavailable_budget(budget_deny, "deny"),
        unavailable_budget(budget_allow, "allow"),
        unavailable_rate(pressed, PRESSED_PER_S, "local_share"),
    ]
    await promise(cluster, stage, rules)
    names = ("rate deny", "rate allow", "rate local_share", "budget deny", "budget allow", PRESSED)
    trickles = [Trickle(name, stage.load, caller) for name, caller in zip(names, stage.site.limited, strict=False)]
    running = [asyncio.create_task(trickle.run(), name=trickle.name) for trickle in trickles]
    try:
        await _go_through(cluster, trickles, size)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return [judge_outage(trickles, is_budget_over=size.seconds > _BUDGET_OVER_S, over_s=_over_s(size))]


def judge_outage(trickles: Sequence[Trickle], *, is_budget_over: bool, over_s: float) -> Verdict:
    """What each rule did in each phase, against what it says; leases of rates were over for `over_s`."""
    found: list[str] = []
    numbers: dict[str, float] = {}
    for trickle in trickles:
        for phase, seen in trickle.seen.items():
            expected = _expected(trickle.name, phase)
            numbers |= {f"{trickle.name} {phase} {word}": count for word, count in seen.items() if phase}
            if expected and not expected.issuperset(seen):
                found.append(f"{trickle.name}, {phase}: {dict(seen)}, and {' or '.join(expected)} alone was promised")
            if (trickle.name, phase) == (PRESSED, _RATES_ARE_OVER) and seen[_SERVED] > _most_pressed(over_s):
                found.append(f"{trickle.name}, {phase}: {seen[_SERVED]} served, {_most_pressed(over_s)} were promised")
        if missing := [phase for phase in PHASES if is_needed(phase, is_budget_over) and phase not in trickle.seen]:
            found.append(f"{trickle.name}: no call ended while {', '.join(missing)}")
    promised = "valid leases hold while control planes are away, and then each rule does what it says"
    return Verdict("U1", promised, tuple(found), numbers)


_RATES_ARE_OVER = "rates are over"
PHASES = ("one is away", "leases hold", _RATES_ARE_OVER, "budgets are over", "both are back")


def is_needed(phase: str, is_budget_over: bool) -> bool:
    return is_budget_over or phase != "budgets are over"


async def _go_through(cluster: Cluster, trickles: Sequence[Trickle], size: Size) -> None:
    """Between the phases that are judged lie times in which leases end one by one."""
    one, both = cluster.names("controlplane")[0], cluster.names("controlplane")
    await asyncio.sleep(_WARM_UP_S)
    await cluster.kill(one)
    await _phase(trickles, "one is away", 4.0)
    await cluster.restart(one)
    await _phase(trickles, "", _WARM_UP_S)
    await asyncio.gather(*(cluster.kill(name) for name in both))
    await _phase(trickles, "leases hold", 1.5)
    await _phase(trickles, "", _RATE_OVER_S - 1.5)
    await _phase(trickles, _RATES_ARE_OVER, _over_s(size))
    if size.seconds > _BUDGET_OVER_S:
        await _phase(trickles, "", _BUDGET_OVER_S - 15.0 - _RATE_OVER_S)
        await _phase(trickles, "budgets are over", size.seconds - _BUDGET_OVER_S)
    await _phase(trickles, "", 0)
    await asyncio.gather(*(cluster.restart(name) for name in both))
    await asyncio.sleep(_BACK_WITHIN_S)
    await _phase(trickles, "both are back", 3.0)


async def _phase(trickles: Sequence[Trickle], phase: str, seconds: float) -> None:
    for trickle in trickles:
        trickle.phase = phase
    await asyncio.sleep(seconds)


def _expected(name: str, phase: str) -> frozenset[str]:
    """What alone may be seen; empty where anything may. A rate's lease is of a second or two: it may be used up."""
    if not phase:
        return frozenset()
    if name == PRESSED:
        return frozenset({_SERVED, _EXCEEDED})
    is_over = (name == "rate deny" and phase in ("rates are over", "budgets are over")) or (
        name == "budget deny" and phase == "budgets are over"
    )
    if name == "rate deny" and phase == "leases hold":
        return frozenset({_SERVED, _DENIED})
    return frozenset({_DENIED if is_over else _SERVED})


def _word(seen: Observation) -> str:
    if seen.ending is ClientEnding.GOOD:
        return _SERVED
    return seen.ending.value if seen.denial is None else seen.denial.code


def _over_s(size: Size) -> float:
    return min(size.seconds, 15.0)


def _most_pressed(over_s: float) -> int:
    """The rate over that time, and what may come at once: of the whole, and a call more for each data plane."""
    return round(PRESSED_PER_S * (over_s + 1)) + 2
