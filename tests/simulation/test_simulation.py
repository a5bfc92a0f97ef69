"""The fleet holds its limits whatever happens to it, uses them when nothing does, and the checks can fail."""

from collections.abc import Callable

import pytest

from tests.simulation.__main__ import render
from tests.simulation.fleet import Fleet
from tests.simulation.liveness import admitted, budget_plan, minute_rule, rate_plan, unused
from tests.simulation.mutations import MUTATIONS, Mutation, find
from tests.simulation.plan import Plan, hung_plan, stopped_plan
from tests.simulation.rules import Kind
from tests.simulation.run import check_rest, run_plan, run_seed
from tests.simulation.timeline import SECOND_US

_SEEDS = 300
_BLOCK = 20
_MINUTE_US = 60 * SECOND_US


@pytest.mark.parametrize("first", range(0, _SEEDS, _BLOCK))
def test_invariants_hold(first: int) -> None:
    for seed in range(first, first + _BLOCK):
        outcome = run_seed(seed)
        assert outcome.violation is None, render(outcome)


@pytest.mark.parametrize("plan", [stopped_plan, hung_plan])
def test_invariants_hold_where_processes_hang(plan: Callable[[int], Plan]) -> None:
    for seed in range(_BLOCK):
        outcome = run_plan(plan(seed))
        assert outcome.violation is None, render(outcome)


def test_equal_seeds_are_equal_runs() -> None:
    assert run_seed(7) == run_seed(7)


@pytest.mark.parametrize("data_planes", [2, 5])
def test_a_strict_budget_is_used_up(data_planes: int) -> None:
    plan = budget_plan(1, Kind.STRICT_BUDGET, 5_000, data_planes)
    fleet = Fleet(plan)
    fleet.start()
    fleet.timeline.run(plan.ends_us)
    check_rest(fleet)
    (watch,) = fleet.watches.budgets.values()
    assert 0 <= unused(fleet) <= data_planes * plan.load.dearest_nano_usd
    assert watch.true >= watch.highest_cap * 995 // 1_000


@pytest.mark.parametrize("kind, amount, calls_per_s", [(Kind.TOKENS, 60_000, 3), (Kind.REQUESTS, 60, 3)])
def test_a_rate_is_used_at_five_times_its_load(kind: Kind, amount: int, calls_per_s: int) -> None:
    plan = rate_plan(1, minute_rule(kind, amount), calls_per_s, data_planes=2)
    fleet = Fleet(plan)
    fleet.start()
    fleet.timeline.run(_MINUTE_US)
    first = admitted(fleet)
    fleet.timeline.run(plan.loaded_us)
    assert first >= amount
    assert admitted(fleet) - first >= amount * 2 * 95 // 100


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.name))
def test_a_broken_protocol_is_found(mutation: Mutation) -> None:
    assert find(mutation)
