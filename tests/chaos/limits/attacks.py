"""What callers and faults do to limits, on the cluster of this machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.attacks import Size
from tests.chaos.campaign import Stage
from tests.chaos.checker import Verdict
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import ClientEnding
from tests.chaos.limits.crowd import Crowd, offer
from tests.chaos.limits.evidence import Counted
from tests.chaos.limits.rules import Purse, Rule, paced_rule, slots_rule, strict_budget
from tests.chaos.load import Caller, Kind
from tests.chaos.local_faults import wait_all_ready
from tests.chaos.local_site import apply_rules
from tests.chaos.waiting import CampaignFailed, until

_RACE_S = 120.0
_RELEASED_WITHIN_S = 60.0
_FEW_CALLS, _MANY_CALLERS, _SOME_CALLERS = 50, 400, 100
_FAST = Kind(1, "sim/lorem-20", output_max=20)
_FAST_CALL = (95_500, 370_000)
_STEADY = Kind(1, "sim/slow-200", stream=False, output_max=30)
_STEADY_CALL = (77_500, 410_000)
"""What one such call costs on average, and holds at most: a token for each byte of its message and some around it."""
_STEADY_CALLERS = 40
_OVERLOAD = 5
_REQUESTS_PER_MINUTE, _REQUESTS_BURST = 300, 10
_TOKENS_PER_MINUTE, _TOKENS_BURST, _TOKENS_PER_CALL = 24_000, 1_000, 35
_SLOTS = 8
_SLOTS_USABLE_WITHIN_S = 20.0
_LEAVING = Kind(1, "sim/stream-50", stream=True, leaving=0.3, output_max=40)
_STAYING = Kind(1, "sim/stream-50", stream=True, output_max=40)
_SUSPENSE = "state 3"


async def race_for_budgets(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Many at once for what few calls cost, then for what `rounds` calls cost."""
    small, large = stage.site.limited[:2]
    await promise(
        cluster,
        stage,
        [strict_budget(small, Purse(_FEW_CALLS, *_FAST_CALL)), strict_budget(large, Purse(size.rounds, *_FAST_CALL))],
    )
    races = [await _use_up(stage, small, _FAST, _MANY_CALLERS), await _use_up(stage, large, _FAST, _SOME_CALLERS)]
    return [_race_verdict(races)]


async def race_while_dataplanes_die(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """At random moments, each started again on its spool; then what they held must come free and be used."""
    crowd, racing = await _race(cluster, stage, size)
    for _ in range(size.rounds):
        await asyncio.sleep(stage.chance.uniform(0.5, 1.5) * size.seconds)
        name = stage.chance.choice(cluster.names("dataplane"))
        await cluster.kill(name)
        await cluster.restart(name)
    return await _finish_race(cluster, stage, crowd, racing)


async def race_while_controlplanes_hang(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """By turns, and then they go on where they were: what they grant late must not count."""
    crowd, racing = await _race(cluster, stage, size)
    names = cluster.names("controlplane")
    for number in range(size.rounds):
        name = names[number % len(names)]
        cluster.pause(name)
        try:
            await asyncio.sleep(size.seconds)
        finally:
            cluster.resume(name)
    return await _finish_race(cluster, stage, crowd, racing)


async def race_while_postgres_dies(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Killed, and down for a while."""
    crowd, racing = await _race(cluster, stage, size)
    for _ in range(size.rounds):
        await asyncio.sleep(1.0)
        await cluster.kill("postgres")
        await asyncio.sleep(size.seconds)
        await cluster.restart("postgres")
    return await _finish_race(cluster, stage, crowd, racing)


async def press_rates(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Requests and tokens by the minute, each offered five times over."""
    requests, tokens = stage.site.limited[:2]
    await promise(
        cluster,
        stage,
        [
            paced_rule(requests, Counted.REQUESTS, _REQUESTS_PER_MINUTE, _REQUESTS_BURST),
            paced_rule(tokens, Counted.TOKENS, _TOKENS_PER_MINUTE, _TOKENS_BURST),
        ],
    )
    requests_per_s = _OVERLOAD * _REQUESTS_PER_MINUTE / 60
    tokens_per_s = _OVERLOAD * _TOKENS_PER_MINUTE / 60 / _TOKENS_PER_CALL
    offered = await asyncio.gather(
        offer(stage.load, requests, _FAST, requests_per_s, size.seconds),
        offer(stage.load, tokens, _FAST, tokens_per_s, size.seconds),
    )
    return [Verdict("N2", "load was offered", (), dict(zip(("requests", "for tokens"), offered, strict=True)))]


async def hold_slots(cluster: Cluster, stage: Stage, size: Size) -> list[Verdict]:
    """Clients leave mid-stream and data planes are killed; then as many as are allowed run at once again."""
    caller = stage.site.limited[0]
    await promise(cluster, stage, [slots_rule(caller, _SLOTS)])
    crowd = Crowd(stage.load, caller, _LEAVING, _STEADY_CALLERS)
    crowding = asyncio.create_task(crowd.run(), name="crowd")
    for number in range(size.rounds):
        await asyncio.sleep(size.seconds)
        names = cluster.names("dataplane")
        await cluster.kill(names[number % len(names)])
        await cluster.restart(names[number % len(names)])
    crowd.stop()
    await crowding
    return [await _usable_verdict(stage, caller)]


async def promise(cluster: Cluster, stage: Stage, rules: Sequence[Rule]) -> None:
    """Rules that every data plane has, and that the checker holds the product to. Raises CampaignFailed."""
    await apply_rules(cluster, rules)
    stage.caps += [cap for rule in rules for cap in rule.caps]


async def _race(cluster: Cluster, stage: Stage, size: Size) -> "tuple[Crowd, asyncio.Task[None]]":
    """Callers at a budget that lasts longer than the faults do."""
    caller = stage.site.limited[0]
    faults_s = size.rounds * (size.seconds + 4.0)
    calls = round(_STEADY_CALLERS * 5 * faults_s / 2)
    await promise(cluster, stage, [strict_budget(caller, Purse(calls, *_STEADY_CALL))])
    crowd = Crowd(stage.load, caller, _STEADY, _STEADY_CALLERS)
    return crowd, asyncio.create_task(crowd.run(), name="crowd")


async def _finish_race(cluster: Cluster, stage: Stage, crowd: Crowd, racing: "asyncio.Task[None]") -> list[Verdict]:
    """Until the budget is used up, what killed data planes held included."""
    await wait_all_ready(cluster)
    found = await _end(crowd, racing)
    try:
        await until(lambda: _is_nothing_in_suspense(stage), _RELEASED_WITHIN_S, "what killed data planes held")
    except CampaignFailed as error:
        found.append(str(error))
    again = await _use_up(stage, stage.site.limited[0], _FAST, _STEADY_CALLERS)
    return [_race_verdict([_Race(crowd.served, found), again])]


async def _use_up(stage: Stage, caller: Caller, kind: Kind, size: int) -> "_Race":
    """Callers until each was refused for good."""
    crowd = Crowd(stage.load, caller, kind, size)
    racing = asyncio.create_task(crowd.run(), name="crowd")
    found = await _end(crowd, racing)
    return _Race(crowd.served, found)


async def _end(crowd: Crowd, racing: "asyncio.Task[None]") -> list[str]:
    """Waits until every caller was refused for good; what is wrong when some are not after a while."""
    done, _ = await asyncio.wait({racing}, timeout=_RACE_S)
    crowd.stop()
    await racing
    return [] if done else [f"callers were not refused for good within {_RACE_S:g} s"]


@dataclass(frozen=True, slots=True)
class _Race:
    """Calls that were served, and what was wrong with its end."""

    served: int
    found: Sequence[str]


def _race_verdict(races: Sequence[_Race]) -> Verdict:
    found = [line for race in races for line in race.found]
    if not races[0].served:
        found.append("not one call was served")
    numbers = {f"race {number}": race.served for number, race in enumerate(races, 1)}
    return Verdict("N2", "callers raced until they were refused for good", tuple(found), numbers)


async def _is_nothing_in_suspense(stage: Stage) -> bool:
    return not any(_SUSPENSE in line for line in await stage.site.read_held())


async def _usable_verdict(stage: Stage, caller: Caller) -> Verdict:
    clock = asyncio.get_running_loop()
    began_s = clock.time()
    found: tuple[str, ...] = ()

    async def is_all_usable() -> bool:
        calls = (stage.load.call_once(_STAYING, caller) for _ in range(_SLOTS))
        endings = {seen.ending for seen in await asyncio.gather(*calls)}
        return endings == {ClientEnding.GOOD}

    try:
        await until(is_all_usable, _SLOTS_USABLE_WITHIN_S, f"{_SLOTS} calls at once to be let through")
    except CampaignFailed as error:
        found = (str(error),)
    promise = f"all slots are usable again {_SLOTS_USABLE_WITHIN_S:g} s after the last fault"
    return Verdict("C2", promise, found, {"s": round(clock.time() - began_s, 1)})
