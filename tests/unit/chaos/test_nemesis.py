"""What strikes when follows from the seed alone."""

import asyncio
import random

from tests.chaos.nemesis import LONGEST_HOLD_S, draw_strikes, strike_all
from tests.chaos.site import Fault


async def harmless(hold_s: float) -> None:
    """Nothing."""


FAULTS = [Fault(name, harmless) for name in "abcde"]


def drawn(seed: int, duration_s: float) -> list[tuple[str, float, float]]:
    strikes = draw_strikes(FAULTS, random.Random(seed), duration_s)
    return [(strike.fault.name, strike.after_s, strike.hold_s) for strike in strikes]


def test_a_seed_gives_the_same_strikes_and_another_gives_others() -> None:
    assert drawn(1, 60) == drawn(1, 60)
    assert drawn(1, 60) != drawn(2, 60)


def test_strikes_fit_into_the_time() -> None:
    strikes = drawn(3, 60)
    assert 30 < sum(after_s for _, after_s, _ in strikes) <= 60
    assert all(hold_s <= LONGEST_HOLD_S for _, _, hold_s in strikes)


async def test_a_fault_is_struck_while_another_still_holds() -> None:
    held: list[str] = []
    most = 0
    are_two = asyncio.Event()

    def fault(name: str) -> Fault:
        async def strike(hold_s: float) -> None:
            nonlocal most
            held.append(name)
            most = max(most, len(held))
            if len(held) == 2:
                are_two.set()
            await are_two.wait()
            held.remove(name)

        return Fault(name, strike)

    assert len(await strike_all([fault("a"), fault("b")], random.Random(1), 6)) >= 2
    assert most == 2


def test_every_fault_comes_before_any_comes_again() -> None:
    names = [name for name, _, _ in drawn(4, 120)]
    assert len(names) > 10
    assert sorted(names[:5]) == sorted(names[5:10]) == list("abcde")


def test_without_faults_nothing_strikes() -> None:
    assert draw_strikes([], random.Random(1), 10) == []
