"""Each scenario in its short form: the faults are all there, the times and counts are smaller."""

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.report import render_text
from tests.chaos.scenarios import SCENARIOS, loosened, run_scenario

SEED = 1
LEAST_GOOD_CALLS = 40


@pytest.mark.parametrize("name", ["T1", "T2", "T3", "T5", "T6", "T7", "T15"])
async def test_the_ledger_equals_the_truth(cluster: Cluster, name: str) -> None:
    scenario = loosened(SCENARIOS[name])
    report = await run_scenario(cluster, scenario, scenario.short, SEED)
    assert report.holds, render_text(report)
    assert report.endings["good"] > LEAST_GOOD_CALLS, render_text(report)
