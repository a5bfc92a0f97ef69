"""The truth test on a stack that somebody else runs: `tollctl up`, with its own log of the truth."""

import pytest

from tests.chaos.campaign import Plan, Stage, run_campaign
from tests.chaos.checker import Verdict
from tests.chaos.installation import open_stack
from tests.chaos.report import render_text
from tests.e2e.stack import Stack

HOLD_S = 0.5


@pytest.mark.parametrize("reads_database", [True, False], ids=["database", "admin API alone"])
async def test_the_truth_test_runs_on_a_stack(stack: Stack, reads_database: bool) -> None:
    site = await open_stack(stack.data_dir, stack.folder / "truth.jsonl", reads_database=reads_database)
    struck = [fault for fault in site.faults if fault.name in ("kill dataplane", "kill consumer", "pause nats")]
    assert len(struck) == 3

    async def strike(stage: Stage) -> list[Verdict]:
        for fault in struck:
            pid = stack.read_info()["pids"][fault.name.partition(" ")[2]]
            await fault.strike(HOLD_S)
            if fault.name.startswith("kill"):
                await stack.restarted(fault.name.partition(" ")[2], pid)
        return []

    plan = Plan("stack", "kills on a stack", site.kinds, 20.0, 60.0, is_nothing_failed=False)
    report = await run_campaign(site, plan, 1, strike)
    assert report.holds, render_text(report)
    assert report.endings["good"] > 10
    missing = {verdict.invariant for verdict in report.verdicts if verdict.missing}
    assert missing == (set() if reads_database else {"L2", "L3"})
