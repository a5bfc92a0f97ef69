"""What a seed means: the fleet, its rules, its load, its weather, and what goes wrong when."""

import random
from dataclasses import dataclass
from enum import Enum

from tests.simulation.links import Weather
from tests.simulation.rules import Kind, Rule
from tests.simulation.timeline import MILLISECOND_US, SECOND_US

USD = 1_000_000_000
_MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Fault(Enum):
    """What may go wrong. Those of processes name one by its number."""

    DATA_PLANE_KILLED = "data plane killed"
    DATA_PLANE_LOST = "data plane killed for good"
    DATA_PLANE_STOPPED = "data plane stopped"
    DATA_PLANE_DRAINED = "data plane drained and started anew"
    CONTROL_PLANE_KILLED = "control plane killed"
    CONTROL_PLANE_STOPPED = "control plane stopped"
    CONSUMER_KILLED = "consumer killed"
    DATABASE_CRASHED = "database crashed"
    DATABASE_FAILED_OVER = "database lost its last commits"
    NATS_AWAY = "NATS away"
    CUT_OFF = "data plane cut off from control planes"
    STREAM_BROKEN = "streams of a data plane broken"
    WALL_CLOCK_SET = "wall clock set"
    AMOUNT_CHANGED = "amount of a rule changed"
    RULE_REPLACED = "generation of a rule changed"


@dataclass(frozen=True, slots=True)
class Strike:
    """`fault` hits number `which` of its kind at `at_us`, for `lasts_us`; `size` is the fault's own."""

    at_us: int
    fault: Fault
    which: int
    lasts_us: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """Calls of each data plane per second, on average; what they cost and how long they last, at most."""

    calls_per_s: int
    keys: int
    dearest_nano_usd: int
    longest_us: int
    most_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Load ends at `loaded_us`; everything is mended then, and until `ends_us` the fleet comes to rest."""

    seed: int
    data_planes: int
    control_planes: int
    consumers: int
    rules: tuple[Rule, ...]
    load: Load
    weather: Weather
    drift_ppm: int
    strikes: tuple[Strike, ...]
    loaded_us: int
    ends_us: int

    def has(self, fault: Fault) -> bool:
        return any(strike.fault is fault for strike in self.strikes)


def plan_of(seed: int) -> Plan:
    """Each kind of fault is there in about every third run, so that runs differ in what meets what."""
    chance = random.Random(seed)
    data_planes = chance.choice((1, 2, 2, 3, 4))
    control_planes = chance.choice((1, 2, 2, 3))
    consumers = chance.choice((1, 2, 2))
    loaded_us = chance.randint(10, 20) * SECOND_US
    load = Load(
        calls_per_s=chance.choice((2, 5, 10)),
        keys=chance.choice((1, 3, 10)),
        dearest_nano_usd=USD // 100,
        longest_us=chance.choice((300 * MILLISECOND_US, 3 * SECOND_US, 12 * SECOND_US)),
        most_tokens=2_000,
    )
    strikes = tuple(_strikes(chance, data_planes, control_planes, consumers, loaded_us))
    return Plan(
        seed=seed,
        data_planes=data_planes,
        control_planes=control_planes,
        consumers=consumers,
        rules=_rules(chance, load, data_planes, loaded_us),
        load=load,
        weather=_weather(chance),
        drift_ppm=chance.choice((0, 50, 300)),
        strikes=strikes,
        loaded_us=loaded_us,
        ends_us=loaded_us + 40 * SECOND_US,
    )


def stopped_plan(seed: int) -> Plan:
    """Data planes that share slots over a slow network are stopped, again and again, for longer than leases last."""
    chance = random.Random(seed)
    loaded_us, data_planes = 60 * SECOND_US, 3
    strikes = [
        Strike(chance.randint(SECOND_US, 40 * SECOND_US), Fault.DATA_PLANE_STOPPED, number, 17 * SECOND_US)
        for number in range(data_planes)
    ]
    return Plan(
        seed=seed,
        data_planes=data_planes,
        control_planes=2,
        consumers=1,
        rules=(Rule("rateLimits/slots", Kind.SLOTS, 3),),
        load=Load(10, 1, USD // 100, SECOND_US, 100),
        weather=Weather(fastest_us=20 * MILLISECOND_US, slowest_us=200 * MILLISECOND_US),
        drift_ppm=50,
        strikes=tuple(strikes),
        loaded_us=loaded_us,
        ends_us=loaded_us + 40 * SECOND_US,
    )


def hung_plan(seed: int) -> Plan:
    """Control planes hang, again and again, until their data planes are with another one, and go on where they were."""
    chance = random.Random(seed)
    loaded_us, control_planes = 60 * SECOND_US, 2
    strikes = [
        Strike(at_us, Fault.CONTROL_PLANE_STOPPED, chance.randrange(control_planes), 8 * SECOND_US)
        for at_us in range(2 * SECOND_US, 50 * SECOND_US, 9 * SECOND_US)
    ]
    return Plan(
        seed=seed,
        data_planes=3,
        control_planes=control_planes,
        consumers=1,
        rules=(
            Rule("budgets/strict", Kind.STRICT_BUDGET, 300 * USD // 100),
            Rule("rateLimits/slots", Kind.SLOTS, 4),
        ),
        load=Load(10, 1, USD // 100, SECOND_US, 100),
        weather=Weather(fastest_us=20 * MILLISECOND_US, slowest_us=200 * MILLISECOND_US),
        drift_ppm=50,
        strikes=tuple(strikes),
        loaded_us=loaded_us,
        ends_us=loaded_us + 40 * SECOND_US,
    )


def _rules(chance: random.Random, load: Load, data_planes: int, loaded_us: int) -> tuple[Rule, ...]:
    calls_per_s = load.calls_per_s * data_planes
    calls = calls_per_s * loaded_us // SECOND_US
    worth = load.dearest_nano_usd // 2
    at_once = calls_per_s * load.longest_us // (2 * SECOND_US)
    offered = (
        Rule("budgets/strict", Kind.STRICT_BUDGET, chance.choice((20, calls // 3, calls * 4)) * worth),
        Rule("budgets/expected", Kind.EXPECTED_BUDGET, chance.choice((20, calls // 3, calls * 4)) * worth),
        Rule(
            "budgets/key",
            Kind.STRICT_BUDGET,
            chance.choice((10, calls)) * worth,
            chance.choice((0, DAY_MS)),
            per_key=True,
        ),
        Rule(
            "rateLimits/rpm",
            Kind.REQUESTS,
            chance.choice((calls // 3 + 1, calls_per_s * 60 // 3, calls_per_s * 200)),
            _MINUTE_MS,
        ),
        Rule(
            "rateLimits/rps",
            Kind.REQUESTS,
            max(1, calls_per_s // chance.choice((1, 3))),
            1_000,
            chance.choice((0, 1)),
            True,
        ),
        Rule("rateLimits/tpm", Kind.TOKENS, calls_per_s * 60 * load.most_tokens // chance.choice((2, 8)), _MINUTE_MS),
        Rule("rateLimits/slots", Kind.SLOTS, chance.choice((2, at_once // 2 + 1, at_once * 2 + 1))),
        Rule("rateLimits/key-slots", Kind.SLOTS, chance.choice((1, at_once // load.keys + 1)), per_key=True),
    )
    chosen = [rule for rule in offered if chance.random() < 0.4]
    return tuple(chosen or [offered[0]])


def _weather(chance: random.Random) -> Weather:
    return Weather(
        lost_ppm=chance.choice((0, 0, 2_000, 20_000)),
        repeated_ppm=chance.choice((0, 0, 50_000)),
        overtaken_ppm=chance.choice((0, 0, 50_000)),
        late_ppm=chance.choice((0, 5_000, 50_000)),
    )


def _strikes(
    chance: random.Random, data_planes: int, control_planes: int, consumers: int, loaded_us: int
) -> list[Strike]:
    numbers = {
        Fault.CONTROL_PLANE_KILLED: control_planes,
        Fault.CONTROL_PLANE_STOPPED: control_planes,
        Fault.CONSUMER_KILLED: consumers,
    }
    strikes = []
    for fault in Fault:
        if chance.random() > 0.3:
            continue
        for _ in range(chance.randint(1, 3)):
            strikes.append(
                Strike(
                    at_us=chance.randint(SECOND_US, loaded_us),
                    fault=fault,
                    which=chance.randrange(numbers.get(fault, data_planes)),
                    lasts_us=_lasts_us(chance),
                    size=chance.randint(1, 1_000_000),
                )
            )
    return sorted(strikes, key=lambda strike: strike.at_us)


def _lasts_us(chance: random.Random) -> int:
    return chance.choice((50 * MILLISECOND_US, SECOND_US, 6 * SECOND_US, 20 * SECOND_US)) + chance.randrange(SECOND_US)
