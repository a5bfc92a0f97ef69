"""What strikes when follows from the seed alone."""

import random

from tests.chaos.nemesis import draw_strikes
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
    assert 30 < sum(after_s + hold_s for _, after_s, hold_s in strikes) <= 60


def test_every_fault_comes_before_any_comes_again() -> None:
    names = [name for name, _, _ in drawn(4, 120)]
    assert len(names) > 10
    assert sorted(names[:5]) == sorted(names[5:10]) == list("abcde")


def test_without_faults_nothing_strikes() -> None:
    assert draw_strikes([], random.Random(1), 10) == []
