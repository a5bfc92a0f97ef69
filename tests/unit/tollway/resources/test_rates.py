"""Rates and discounts as integers, and back into exact text."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.admin.v1.prices_pb2 import PriceBand, Rate
from tollway.config.v1.resources_pb2 import Band
from tollway.kernel.usage import Meter
from tollway.resources.bands import band_violations, project_band, render_band
from tollway.resources.rates import (
    catalog_nano_usd,
    default_per,
    discount_percent,
    discount_ppm,
    nano_usd_per_million,
    price_usd,
    rate_problem,
)


@given(st.integers(0, 10**18), st.sampled_from([1, 1_000_000]))
def test_a_rate_in_text_is_exact(nano_usd: int, per: int) -> None:
    text = price_usd(nano_usd, per)
    assert Fraction(text) == Fraction(nano_usd * per, 10**15)
    assert len(text.partition(".")[2]) >= 2


@given(st.integers(0, 10**15))
def test_an_admins_rate_comes_back_as_it_was_written(nano_usd: int) -> None:
    rate = Rate(meter="input", price_usd=price_usd(nano_usd, 1_000_000), per=1_000_000)
    assert rate_problem(rate) is None
    assert nano_usd_per_million(rate) == nano_usd


@given(st.decimals(0, 100, places=10), st.sampled_from([1, 1000, 3600, 1_000_000]))
def test_a_catalogs_rate_is_never_below_what_it_says_and_less_than_one_above(price: Decimal, per: int) -> None:
    exact = Fraction(price) * 10**15 / per
    assert exact <= catalog_nano_usd(price, per) < exact + 1


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity", "1e40", "1e-40", "10000"])
def test_what_is_no_price_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        catalog_nano_usd(Decimal(price), 1)


@given(st.integers(0, 1_000_000))
def test_a_discount_survives(ppm: int) -> None:
    text = discount_percent(ppm)
    assert discount_ppm(text or "0") == ppm
    assert not text or Fraction(text) * 10_000 == ppm


@pytest.mark.parametrize("text", ["", "-1", "100.0001", "101", "1.23456", "1e1", "12,5", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_what_is_no_discount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="percent"):
        discount_ppm(text)


def test_defaults_are_what_people_say_prices_per() -> None:
    assert {meter.word for meter in Meter if default_per(meter.word) == 1} == {
        "request",
        "image",
        "second",
        "page",
        "search",
    }


def test_bands_go_to_minutes_and_back() -> None:
    band = PriceBand(start_time="16:30", end_time="00:05", weekdays=["mon", "sun"])
    assert list(band_violations("band", band)) == []
    machine = project_band(band)
    assert machine == Band(start_minute=990, end_minute=5, weekdays=[1, 7])
    assert render_band(machine) == band


@pytest.mark.parametrize(
    ("band", "field"),
    [
        (PriceBand(start_time="24:00", end_time="01:00"), "band.start_time"),
        (PriceBand(start_time="1:00", end_time="02:00"), "band.start_time"),
        (PriceBand(start_time="01:00"), "band.end_time"),
        (PriceBand(start_time="01:00", end_time="01:00"), "band.end_time"),
        (PriceBand(start_time="01:00", end_time="02:00", weekdays=["monday"]), "band.weekdays[0]"),
        (PriceBand(start_time="01:00", end_time="02:00", weekdays=["mon", "mon"]), "band.weekdays[1]"),
    ],
)
def test_a_bad_band_names_its_field(band: PriceBand, field: str) -> None:
    assert [violation.field for violation in band_violations("band", band)] == [field]
