"""One run: load, something that goes wrong meanwhile, quiet, and the verdicts."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.chaos.balancer import Balancer
from tests.chaos.checker import Verdict, judge
from tests.chaos.evidence import ClientEnding, Evidence, read_provider_calls
from tests.chaos.limits.checker import judge_limits
from tests.chaos.limits.evidence import Cap, LimitEvidence
from tests.chaos.limits.sampler import Sampler
from tests.chaos.load import Kind, Load
from tests.chaos.site import ReadingFailed, Site

_LOOK_INTERVAL_S = 0.5
_QUIET_LOOKS = 2
_LOAD_END_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run. `drained_within_s` bounds the time from the end of the load until nothing is on its way.

    waits_for_leases: until no budget is held for calls to come either, which takes as long as data planes keep some.
    allows_late_leases: where nothing may fail, calls may that had no lease in time, as where others use the machine.
    """

    name: str
    title: str
    kinds: Sequence[Kind]
    rate_per_s: float
    drained_within_s: float
    is_nothing_failed: bool
    waits_for_leases: bool = False
    allows_late_leases: bool = False


class Stage:
    """What an attack has at hand: the load that runs, and chance of its own. It adds to `caps` what it promises."""

    def __init__(self, site: Site, load: Load, loading: "asyncio.Task[None]", balancer: Balancer, seed: str) -> None:
        self.site = site
        self.load = load
        self.balancer = balancer
        self.caps: list[Cap] = list(site.caps)
        self.sampler = Sampler(site, load.teams, self.caps)
        self.chance = random.Random(f"{seed} attack")
        self._loading = loading

    async def end_load(self) -> None:
        """No more calls; returns when the last one has ended."""
        self.load.finish()
        async with asyncio.timeout(_LOAD_END_S):
            await asyncio.shield(self._loading)


Attack = Callable[[Stage], Awaitable[list[Verdict]]]
"""Does its harm and mends it; what it returns are verdicts of its own."""


@dataclass(frozen=True, slots=True)
class Report:
    """How one run came out. memory_mib: resident before and after, by service; it may be another process by then."""

    plan: Plan
    seed: int
    verdicts: Sequence[Verdict]
    numbers: Mapping[str, float]
    memory_mib: Mapping[str, tuple[int, int]]
    endings: Mapping[str, int]
    versions: Mapping[str, str]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)


async def run_campaign(site: Site, plan: Plan, seed: int, attack: Attack) -> Report:
    """Raises CampaignFailed or ExceptionGroup when it could not be carried out."""
    memory_before = site.memory_kib()
    started_s = time.monotonic()
    async with _stage(site, plan, seed) as stage:
        own = await attack(stage)
        await stage.end_load()
    ended_s = time.monotonic()
    evidence, left = await _settled(site, stage.load, plan)
    settled_s = time.monotonic() - ended_s
    limits = await _look_at_limits(stage, plan)
    verdicts = [
        *judge(evidence, is_nothing_failed=plan.is_nothing_failed, allows_late_leases=plan.allows_late_leases),
        *(judge_limits(evidence, limits) if limits.caps else ()),
        _drained(plan, left, settled_s),
        *own,
    ]
    seen = [observation.ending for observation in stage.load.observations]
    return Report(
        plan=plan,
        seed=seed,
        verdicts=verdicts,
        numbers={
            "load s": round(ended_s - started_s, 1),
            "settled after s": round(settled_s, 1),
        },
        memory_mib=_growth(memory_before, site.memory_kib()),
        endings={ending.value: seen.count(ending) for ending in ClientEnding},
        versions=site.versions,
    )


@asynccontextmanager
async def _stage(site: Site, plan: Plan, seed: int) -> AsyncIterator[Stage]:
    """The load runs until the attack ends it."""
    label = f"{seed} {plan.name}"
    balancer = Balancer(site.base_urls, random.Random(f"{label} balancer"))
    chance = random.Random(f"{label} load")
    load = Load(site.callers, plan.kinds, chance, balancer.choose, rate_per_s=plan.rate_per_s)
    balancing = asyncio.create_task(balancer.run(), name="balancer")
    loading = asyncio.create_task(load.run(), name="load")
    stage = Stage(site, load, loading, balancer, label)
    sampling = asyncio.create_task(stage.sampler.run(), name="sampler")
    tasks = (balancing, loading, sampling)
    try:
        yield stage
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _settled(site: Site, load: Load, plan: Plan) -> tuple[Evidence, str]:
    """The evidence once nothing is on its way, and what still is when the time is over."""
    deadline_s = time.monotonic() + plan.drained_within_s
    quiet = 0
    evidence, left = Evidence((), ()), "the ledger was not read"
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline_s:
        left = await _left(site, plan)
        quiet = 0 if left else quiet + 1
        if quiet < _QUIET_LOOKS:
            await asyncio.sleep(_LOOK_INTERVAL_S)
    while True:
        try:
            evidence = await _gather(site, load)
            break
        except ReadingFailed as error:
            left = str(error)
            if time.monotonic() > deadline_s:
                break
            await asyncio.sleep(_LOOK_INTERVAL_S)
    return evidence, left


async def _left(site: Site, plan: Plan) -> str:
    if (left := await site.backlog()) or not plan.waits_for_leases:
        return left
    try:
        return next(iter(await site.read_held()), "")
    except ReadingFailed as error:
        return str(error)


async def _gather(site: Site, load: Load) -> Evidence:
    ledger = await site.read_ledger()
    provider_calls = read_provider_calls(site.truth_lines(), load.mark)
    limited = frozenset(caller.team for caller in site.limited)
    return Evidence(tuple(load.observations), provider_calls, ledger, limited)


async def _look_at_limits(stage: Stage, plan: Plan) -> LimitEvidence:
    """Raises ReadingFailed."""
    held = await stage.site.read_held() if plan.waits_for_leases else None
    return LimitEvidence(
        tuple(stage.caps),
        stage.load.teams,
        tuple(stage.sampler.samples),
        await stage.sampler.look(),
        held,
        len(stage.site.base_urls()),
        await stage.site.read_charged(),
    )


def _drained(plan: Plan, left: str, settled_s: float) -> Verdict:
    found = (f"{left}, {plan.drained_within_s:g} s after the end",) if left else ()
    promise = f"nothing is on its way {plan.drained_within_s:g} s after the load has ended"
    return Verdict("D1", promise, found, {"s": round(settled_s, 1)})


def _growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    return {name: (before[name] // 1024, after[name] // 1024) for name in after if name in before}
