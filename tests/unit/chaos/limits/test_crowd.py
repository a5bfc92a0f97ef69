"""A crowd does as SDKs do."""

import asyncio
import random

from tests.chaos.evidence import ClientEnding, Denial, Observation
from tests.chaos.limits.crowd import Crowd
from tests.chaos.load import Caller, Kind, Load, read_denial

CALLER = Caller("teams/a", "twk_x")
KIND = Kind(1, "sim/echo")


class ScriptedLoad(Load):
    """Answers with what is left of `script`, then with the last of it."""

    def __init__(self, *script: Observation) -> None:
        async def nowhere() -> str:
            raise AssertionError("nothing is sent")

        super().__init__((CALLER,), (KIND,), random.Random(1), nowhere, rate_per_s=1)
        self.script = list(script)
        self.calls = 0

    async def call_once(self, kind: Kind, caller: Caller | None = None) -> Observation:
        self.calls += 1
        await asyncio.sleep(0)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def seen(ending: ClientEnding, denial: Denial | None = None) -> Observation:
    return Observation("c", CALLER.team, ending, denial=denial)


GOOD = seen(ClientEnding.GOOD)
FINAL = seen(ClientEnding.REFUSED, Denial("budget_exceeded", False, None))
SOON = seen(ClientEnding.REFUSED, Denial("budget_exceeded", True, 1))
RATE = seen(ClientEnding.REFUSED, Denial("rate_limit_exceeded", None, 1))


async def test_each_caller_goes_on_until_it_is_refused_for_good() -> None:
    load = ScriptedLoad(GOOD, SOON, RATE, GOOD, FINAL)
    crowd = Crowd(load, CALLER, KIND, size=3)
    await crowd.run()
    assert (load.calls, crowd.served) == (4 + 3, 2)


async def test_it_stops_when_told_to() -> None:
    crowd = Crowd(
        ScriptedLoad(seen(ClientEnding.REFUSED, Denial("rate_limit_exceeded", None, 60_000))), CALLER, KIND, 5
    )
    running = asyncio.create_task(crowd.run())
    await asyncio.sleep(0)
    crowd.stop()
    async with asyncio.timeout(5):
        await running


def test_denials_are_read_from_errors_of_limits_alone() -> None:
    headers = {"x-should-retry": "false", "retry-after-ms": "250"}
    text = '{"error": {"code": "budget_exceeded"}}'
    assert read_denial(headers, text) == Denial("budget_exceeded", False, 250)
    assert read_denial({}, text) == Denial("budget_exceeded", None, None)
    assert read_denial(headers, '{"error": {"code": "upstream_error"}}') is None
    assert read_denial(headers, "<html>") is None
