"""Faults at random, some while others still hold: when and which of them is drawn from a seed."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.site import Fault

SHORTEST_GAP_S = 0.2
LONGEST_GAP_S = 2.5
LONGEST_HOLD_S = 3.0


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that is to be struck `after_s` after the one before was, and held for `hold_s`."""

    fault: Fault
    after_s: float
    hold_s: float


def draw_strikes(faults: Sequence[Fault], chance: random.Random, duration_s: float) -> list[Strike]:
    """As many as fit into `duration_s`; each fault once before any comes again."""
    strikes: list[Strike] = []
    left: list[Fault] = []
    used_s = 0.0
    while faults:
        left = left or chance.sample(faults, len(faults))
        strike = Strike(left.pop(), chance.uniform(SHORTEST_GAP_S, LONGEST_GAP_S), chance.uniform(0.0, LONGEST_HOLD_S))
        used_s += strike.after_s
        if used_s > duration_s:
            break
        strikes.append(strike)
    return strikes


async def strike_all(faults: Sequence[Fault], chance: random.Random, duration_s: float) -> list[str]:
    """Takes about `duration_s`; the names of what was struck, in order. Raises what a fault that fails raises."""
    strikes = draw_strikes(faults, chance, duration_s)
    try:
        async with asyncio.TaskGroup() as group:
            for strike in strikes:
                await asyncio.sleep(strike.after_s)
                group.create_task(_strike(strike))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [strike.fault.name for strike in strikes]


async def _strike(strike: Strike) -> None:
    await strike.fault.strike(strike.hold_s)
