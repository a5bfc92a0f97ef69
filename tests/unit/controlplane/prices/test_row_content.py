"""Rows of price books come out of storage as they went in."""

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from controlplane.prices.row_content import content_to_row, row_to_content
from tollway.config.v1.resources_pb2 import Band, BookPrice, ModelMatch, ModelMatchAll, ModelMatchAny, Price, Rate
from tollway.kernel.usage import Meter
from tollway.usage.v1.usage_pb2 import METER_INPUT

INT32S, INT64S = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
PLAIN = st.sampled_from(["exact", "prefix", "suffix", "contains", "glob", "regex"]).flatmap(
    lambda test: TEXTS.map(lambda text: ModelMatch(**{test: text}))  # type: ignore[arg-type]
)
ALL = st.lists(st.lists(PLAIN, max_size=2).map(lambda models: ModelMatchAny(models=models)), max_size=2).map(
    lambda alternatives: ModelMatch(all=ModelMatchAll(alternatives=alternatives))
)
RATES = st.builds(
    Rate,
    meter=st.sampled_from([*map(int, Meter), 999]),
    nano_usd_per_million=INT64S,
    above_input_tokens=INT64S,
    service_tier=TEXTS,
)
PRICES = st.builds(
    Price,
    provider=TEXTS,
    models=st.lists(PLAIN | ALL | st.just(ModelMatch()), max_size=2),
    rates=st.lists(RATES, max_size=2),
    effective_from_ms=INT64S,
    band=st.none() | st.builds(Band, start_minute=INT32S, end_minute=INT32S, weekdays=st.lists(INT32S, max_size=2)),
    discount_ppm=INT32S,
)
ROWS = st.builds(BookPrice, id=TEXTS, price=st.none() | PRICES, model=TEXTS)
ROW = BookPrice(
    id="p/m", model="m", price=Price(provider="p", rates=[Rate(meter=METER_INPUT, nano_usd_per_million=2**53 + 1)])
)
LATER: list[dict[str, Any]] = [
    {"colour": "red"},
    {"price": {"colour": "red"}},
    {"price": {"effective_from_ms": "7", "rates": [{"meter": "METER_COLOUR", "nano_usd_per_million": "3"}]}},
    {"price": {"rates": [{"meter": "METER_INPUT", "nano_usd_per_million": "3", "colour": "red"}]}},
    {"price": {"models": [{"colour": "red"}, {"exact": "m"}]}},
]


@given(ROWS)
def test_a_row_comes_out_as_it_went_in(row: BookPrice) -> None:
    assert content_to_row(row_to_content(row)) == row


@pytest.mark.parametrize("more", LATER)
def test_what_a_later_release_adds_is_left_out(more: dict[str, Any]) -> None:
    content = {**row_to_content(ROW), **more}
    assert content_to_row(content) == json_format.ParseDict(content, BookPrice(), ignore_unknown_fields=True)
