"""What an attempt costs: every token once, thresholds per call, tiers, bands and discounts, and one rounding."""

import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.kernel.pricing import EVERY_DAY, PARTS_PER_MILLION, Band, Price, Rate, billed_readings
from tollway.kernel.service_tiers import canonical_tier, is_tier
from tollway.kernel.usage import USAGE_METERS, Meter, Usage

TIERS = ("", "flex", "priority", "batch")
# A meter's own rate, and then those that stand in for it.
CHAINS = {
    Meter.CACHE_READ: (Meter.CACHE_READ, Meter.INPUT),
    Meter.CACHE_WRITE_5M: (Meter.CACHE_WRITE_5M, Meter.INPUT),
    Meter.CACHE_WRITE_1H: (Meter.CACHE_WRITE_1H, Meter.CACHE_WRITE_5M, Meter.INPUT),
    Meter.REASONING: (Meter.REASONING, Meter.OUTPUT),
    Meter.INPUT_AUDIO: (Meter.INPUT_AUDIO, Meter.INPUT),
    Meter.OUTPUT_AUDIO: (Meter.OUTPUT_AUDIO, Meter.OUTPUT),
    Meter.CACHE_READ_AUDIO: (Meter.CACHE_READ_AUDIO, Meter.CACHE_READ, Meter.INPUT),
    Meter.INPUT_IMAGE: (Meter.INPUT_IMAGE, Meter.INPUT),
    Meter.OUTPUT_IMAGE: (Meter.OUTPUT_IMAGE, Meter.OUTPUT),
}


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    counts = {name: draw(st.sampled_from([0, 0, 1, 7, 999, 300_000])) for _, name in USAGE_METERS}
    counts["reasoning"] = draw(st.integers(0, counts["output"]))
    return Usage(**counts)


RATES = st.lists(
    st.builds(
        Rate,
        st.sampled_from(Meter),
        st.integers(0, 10**12),
        st.sampled_from([0, 0, 10, 200_000]),
        st.sampled_from(TIERS),
    ),
    max_size=25,
    unique_by=lambda rate: (rate.meter, rate.above_input_tokens, rate.service_tier),
)
PPM = st.sampled_from([0, 1, 125_000, 333_333, PARTS_PER_MILLION])


def price(rates: list[Rate], discount_ppm: int = 0) -> Price:
    return Price("prices/p", 1, "", re.compile(".*"), tuple(rates), discount_ppm=discount_ppm)


def rate_of(rates: list[Rate], meter: Meter, tier: str, input_tokens: int) -> int | None:
    """The definition, told as a search: own meter before stand-ins, own tier before the ordinary, highest step."""
    for wanted in CHAINS.get(meter, (meter,)):
        for service_tier in (tier, ""):
            steps = [
                rate
                for rate in rates
                if (rate.meter, rate.service_tier) == (wanted, service_tier)
                and (rate.above_input_tokens == 0 or input_tokens > rate.above_input_tokens)
            ]
            if steps:
                return max(steps, key=lambda rate: rate.above_input_tokens).nano_usd_per_million
    return None


def exact_cost(rates: list[Rate], usage: Usage, tier: str, discount_ppm: int) -> int | None:
    """The definition in fractions, rounded up once at the end."""
    total = Fraction(rate_of(rates, Meter.REQUEST, tier, usage.input_tokens) or 0, 10**6)
    quantities = {meter: getattr(usage, name) for meter, name in USAGE_METERS}
    quantities[Meter.OUTPUT] -= usage.reasoning
    for meter, quantity in quantities.items():
        rate = rate_of(rates, meter, tier, usage.input_tokens)
        if quantity and rate is None:
            return None
        total += Fraction(quantity * (rate or 0), 10**6)
    return math.ceil(total * (1 - Fraction(discount_ppm, 10**6)))


@given(RATES, usages(), st.sampled_from([*TIERS, "unheard-of"]), PPM)
def test_the_cost_is_the_exact_sum_rounded_up_once(
    rates: list[Rate], usage: Usage, tier: str, discount_ppm: int
) -> None:
    cost = price(rates, discount_ppm).cost_nano_usd(usage, tier)
    assert cost == exact_cost(rates, usage, tier, discount_ppm)
    assert cost is None or (type(cost) is int and cost >= 0)


@given(usages())
def test_disjoint_meters_are_each_billed_once(usage: Usage) -> None:
    billed = dict(billed_readings(usage))
    assert len(billed) == len(list(billed_readings(usage)))
    assert sum(billed.values()) == sum(getattr(usage, name) for _, name in USAGE_METERS) - usage.reasoning
    one_each = price([Rate(meter, 10**6) for meter in Meter if meter is not Meter.REQUEST])
    assert one_each.cost_nano_usd(usage) == sum(billed.values())


@given(st.integers(0, 400_000), st.integers(0, 400_000))
def test_a_threshold_is_of_the_call_and_holds_for_all_its_tokens(fresh: int, cached: int) -> None:
    """Cached tokens count towards it, output does not, and no token below it keeps the lower rate."""
    steps = [Rate(Meter.INPUT, 10**6), Rate(Meter.INPUT, 2 * 10**6, 200_000), Rate(Meter.OUTPUT, 10**6)]
    cost = price(steps).cost_nano_usd(Usage(input=fresh, cache_read=cached, output=500_000))
    assert cost == (fresh + cached) * (2 if fresh + cached > 200_000 else 1) + 500_000


def test_rounding_happens_once_per_attempt_and_not_per_meter() -> None:
    rates = [Rate(Meter.INPUT, 400_000), Rate(Meter.OUTPUT, 400_000), Rate(Meter.REQUEST, 200_000)]
    assert price(rates).cost_nano_usd(Usage(input=1, output=1)) == 1
    assert price(rates, 1).cost_nano_usd(Usage(input=1, output=1)) == 1
    assert price(rates).cost_nano_usd(Usage(input=2, output=1)) == 2


def test_a_tier_without_a_rate_of_its_own_takes_the_ordinary_one_meter_by_meter() -> None:
    rates = [Rate(Meter.INPUT, 10**6), Rate(Meter.OUTPUT, 4 * 10**6), Rate(Meter.INPUT, 5 * 10**5, 0, "flex")]
    flex = price(rates)
    usage = Usage(input=2, output=1)
    assert [flex.cost_nano_usd(usage, tier) for tier in ("", "flex", "priority")] == [6, 5, 6]


def test_a_flood_of_tiers_that_an_upstream_makes_up_is_not_remembered() -> None:
    found = price([Rate(Meter.INPUT, 1), Rate(Meter.INPUT, 2, 0, "flex")])
    for number in range(1000):
        found.cost_nano_usd(Usage(input=1), f"tier-{number}")
    assert len(found._tables) <= 2


@pytest.mark.parametrize("discount_ppm", [0, PARTS_PER_MILLION])
def test_free_is_what_costs_nothing_however_it_comes(discount_ppm: int) -> None:
    assert price([Rate(Meter.INPUT, 0)], discount_ppm).is_free
    assert price([Rate(Meter.INPUT, 5)], discount_ppm).is_free is (discount_ppm > 0)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(1, EVERY_DAY), st.integers(0, 4 * 10**12))
def test_a_band_is_the_same_by_the_calendar(start: int, end: int, weekdays: int, time_ms: int) -> None:
    """Some day of the week on which the band begins, at or before the moment, and its length not yet over."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    length = timedelta(minutes=(end - start) % 1440 or 1440)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    begun = [midnight - timedelta(days=back) + timedelta(minutes=start) for back in (0, 1)]
    expected = any(weekdays >> at.weekday() & 1 and at <= moment < at + length for at in begun)
    assert Band(start, end, weekdays).holds(time_ms) is expected


def test_words_for_the_ordinary_tier_are_one() -> None:
    assert {canonical_tier(word) for word in ("", "default", "Standard", "auto", "on_demand", " default ")} == {""}
    assert canonical_tier("Flex") == "flex"
    assert is_tier("flex")
    assert not any(is_tier(word) for word in ("", "Flex", "two words", "x" * 33))
