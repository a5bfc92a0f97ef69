"""The scenarios of limits in their short form; in the end nothing is reserved or leased any more."""

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.limits.quota import read_held
from tests.chaos.local_faults import wait_all_ready
from tests.chaos.report import render_text
from tests.chaos.scenarios import SCENARIOS, loosened, run_scenario
from tests.chaos.waiting import until

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

SEED = 1
RELEASED_WITHIN_S = 30.0


@pytest.mark.parametrize("name", ["T11", "T12", "T13", "T9", "T10", "slots"])
async def test_limits_hold(cluster: Cluster, name: str) -> None:
    scenario = loosened(SCENARIOS[name])
    report = await run_scenario(cluster, scenario, scenario.short, SEED)
    assert report.holds, render_text(report)


async def test_nothing_is_leased_once_all_is_quiet(cluster: Cluster) -> None:
    await wait_all_ready(cluster)

    async def is_released() -> bool:
        return not await read_held(cluster.database_url)

    await until(is_released, RELEASED_WITHIN_S, "all leases to end")
