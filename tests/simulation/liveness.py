"""Fleets without faults that are offered more than their limits: how much of a limit can be used at all."""

from tests.simulation.fleet import Fleet
from tests.simulation.links import Weather
from tests.simulation.plan import USD, Load, Plan
from tests.simulation.rules import Kind, Rule
from tests.simulation.timeline import MILLISECOND_US, SECOND_US

_MINUTE_MS = 60_000


def budget_plan(seed: int, kind: Kind, calls: int, data_planes: int) -> Plan:
    """A budget worth about `calls` calls, and half as many again within half a minute of virtual time."""
    load = Load(
        calls_per_s=calls * 3 // 2 // (30 * data_planes),
        keys=1,
        dearest_nano_usd=USD // 100,
        longest_us=400 * MILLISECOND_US,
        most_tokens=100,
    )
    # Costs are spread evenly: a call reserves 55% of the dearest on average, and costs 60% of that.
    cap = calls * load.dearest_nano_usd * 33 // 100
    return _calm(seed, data_planes, Rule("budgets/shared", kind, cap), load, 45 * SECOND_US)


def rate_plan(seed: int, rule: Rule, calls_per_s: int, data_planes: int) -> Plan:
    """Three minutes of calls of up to 2,000 tokens, half of it on average; calls per second and data plane."""
    load = Load(
        calls_per_s=calls_per_s,
        keys=1,
        dearest_nano_usd=USD // 100,
        longest_us=2 * SECOND_US,
        most_tokens=2_000,
    )
    return _calm(seed, data_planes, rule, load, 180 * SECOND_US)


def minute_rule(kind: Kind, amount: int) -> Rule:
    return Rule("rateLimits/minute", kind, amount, _MINUTE_MS)


def unused(fleet: Fleet) -> int:
    """What is left of the one budget, nano-USD."""
    (watch,) = fleet.watches.budgets.values()
    return watch.highest_cap - watch.true


def admitted(fleet: Fleet) -> int:
    """Requests or tokens that the one rate admitted, less what came back."""
    (watch,) = fleet.watches.rates.values()
    return watch.total


def _calm(seed: int, data_planes: int, rule: Rule, load: Load, loaded_us: int) -> Plan:
    return Plan(
        seed=seed,
        data_planes=data_planes,
        control_planes=2,
        consumers=2,
        rules=(rule,),
        load=load,
        weather=Weather(),
        drift_ppm=50,
        strikes=(),
        loaded_us=loaded_us,
        ends_us=loaded_us + 35 * SECOND_US,
    )
