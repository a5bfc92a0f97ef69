"""The scenarios, by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.chaos import attacks
from tests.chaos.attacks import ClusterAttack, Size
from tests.chaos.campaign import Plan, Report, run_campaign
from tests.chaos.cluster import Cluster
from tests.chaos.limits import attacks as limit_attacks
from tests.chaos.limits.outage import take_controlplanes_down
from tests.chaos.load import Kind
from tests.chaos.local_faults import wait_all_ready
from tests.chaos.local_site import open_site
from tests.chaos.mix import MIXED, UNBROKEN

_RATE_PER_S = 50.0
_BESIDE_PER_S = 5.0
"""Calls of others, beside those that a scenario of limits makes itself."""
_LOOSE_DRAINED_S = 60.0
_LOOSE_RATE_PER_S = 20.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, how long `short` in the tests and `long` in the campaign, and what is promised for it."""

    name: str
    title: str
    attack: ClusterAttack
    short: Size
    long: Size
    kinds: Sequence[Kind] = MIXED
    is_nothing_failed: bool = False
    drained_within_s: float = 30.0
    rate_per_s: float = _RATE_PER_S
    waits_for_leases: bool = True
    allows_late_leases: bool = False

    @property
    def plan(self) -> Plan:
        return Plan(
            *(self.name, self.title, self.kinds, self.rate_per_s),
            *(self.drained_within_s, self.is_nothing_failed, self.waits_for_leases, self.allows_late_leases),
        )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("T1", "data planes killed mid-stream", attacks.kill_dataplanes, Size(3, 2.0), Size(5, 7.0)),
        Scenario("T2", "consumers killed around the commit", attacks.kill_consumers, Size(4, 0), Size(20, 0)),
        Scenario(
            "T3",
            "NATS killed, and down",
            attacks.take_nats_down,
            *(Size(1, 6.0), Size(3, 10.0), UNBROKEN, True),
        ),
        Scenario("T5", "the stream is full", attacks.fill_stream, Size(1, 6.0), Size(1, 20.0), UNBROKEN, True),
        Scenario("T6", "the stream is wiped", attacks.lose_stream, Size(1, 0), Size(3, 0), UNBROKEN, True),
        Scenario(
            "T7",
            "Postgres killed, and down",
            attacks.take_postgres_down,
            *(Size(1, 6.0), Size(3, 8.0), UNBROKEN, True),
        ),
        Scenario(
            "T8",
            "Postgres restored to an older state, and the ledger replayed",
            attacks.restore_postgres,
            *(Size(1, 3.0), Size(1, 5.0), UNBROKEN),
        ),
        Scenario(
            "T15",
            "a rolling restart of the data planes",
            attacks.roll_dataplanes,
            *(Size(1, 6.0), Size(3, 20.0), UNBROKEN, True),
        ),
        Scenario(
            "T9",
            "control planes killed, and away",
            take_controlplanes_down,
            *(Size(1, 8.0), Size(1, 75.0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario(
            "T10",
            "a race for a budget while control planes hang, and go on",
            limit_attacks.race_while_controlplanes_hang,
            *(Size(2, 5.0), Size(3, 20.0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario(
            "T11",
            "a race for budgets",
            limit_attacks.race_for_budgets,
            *(Size(5000, 0), Size(5000, 0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario(
            "T12",
            "a race for a budget while data planes are killed",
            limit_attacks.race_while_dataplanes_die,
            *(Size(2, 2.0), Size(10, 3.0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario(
            "T7-race",
            "a race for a budget while Postgres is killed",
            limit_attacks.race_while_postgres_dies,
            *(Size(1, 3.0), Size(3, 8.0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario(
            "T13",
            "five times as many requests and tokens as rates let through",
            limit_attacks.press_rates,
            *(Size(1, 15.0), Size(1, 60.0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario(
            "slots",
            "calls at once, while clients leave and data planes are killed",
            limit_attacks.hold_slots,
            *(Size(1, 3.0), Size(4, 8.0), UNBROKEN),
            rate_per_s=_BESIDE_PER_S,
        ),
        Scenario("mixed", "everything at random", attacks.strike_at_random, Size(1, 20.0), Size(1, 60.0)),
    )
}


async def run_scenario(cluster: Cluster, scenario: Scenario, size: Size, seed: int) -> Report:
    """On teams of its own; whatever was left of a scenario before is mended first. Raises as run_campaign does."""
    await wait_all_ready(cluster)
    site = await open_site(cluster)
    return await run_campaign(site, scenario.plan, seed, lambda stage: scenario.attack(cluster, stage, size))


def loosened(scenario: Scenario) -> Scenario:
    """For tests, beside which others use the machine: fewer calls, more time until nothing is on its way.

    Nothing waits for leases to end, and they may come late.
    """
    rate_per_s = min(scenario.rate_per_s, _LOOSE_RATE_PER_S)
    return replace(
        scenario,
        rate_per_s=rate_per_s,
        drained_within_s=_LOOSE_DRAINED_S,
        waits_for_leases=False,
        allows_late_leases=True,
    )
