"""Why a price holds, in words."""

import re

from controlplane.prices.resolve import resolve_price
from tollway.kernel.price_index import PriceBook, PriceIndex
from tollway.kernel.pricing import Band, Price, Rate
from tollway.kernel.usage import Meter

NIGHT = Band(0, 60)


def price(name: str, *, has_rates: bool = True, **fields: object) -> Price:
    rates = (Rate(Meter.INPUT, 2_500_000_000),) if has_rates else ()
    return Price(name, 3, "p", re.compile("m"), rates, **fields)  # type: ignore[arg-type]


def test_a_row_of_the_book_says_which_one_and_what_it_replaced() -> None:
    rows = (price("b/m@2", effective_from_ms=2), price("b/m"))
    found = resolve_price(PriceIndex((), [PriceBook("b", (0,), rows)]), "p", "m", 5)
    assert (found.price, found.price_revision, found.book_price) == ("b/m@2", 3, "b/m@2")
    assert found.rates[0].price_usd == "2.50"
    assert "b is in force then" in found.reason
    assert [(p.price, p.reason) for p in found.passed_over] == [
        ("b/m", "held until 1970-01-01T00:00:00.002000+00:00"),
    ]


def test_a_price_of_an_admin_hides_the_book_and_says_so() -> None:
    own = [price("prices/own"), price("prices/night", band=NIGHT), price("prices/next", effective_from_ms=10**13)]
    index = PriceIndex(own, [PriceBook("b", (0,), (price("b/m"),))])
    found = resolve_price(index, "p", "m", 2 * 3_600_000)
    assert (found.price, found.book_price) == ("prices/own", "")
    reasons = {passed.price: passed.reason for passed in found.passed_over}
    assert reasons["prices/night"] == "holds at other times of the day"
    assert reasons["prices/next"].startswith("holds from 2286-")
    assert reasons["b/m"] == "prices/own comes before books"


def test_unpriced_says_what_is_missing() -> None:
    deal = price("prices/deal", has_rates=False, discount_ppm=125_000)
    alone = resolve_price(PriceIndex([deal]), "p", "m", 0)
    assert (alone.price, list(alone.rates)) == ("", [])
    assert "nothing to take it off" in alone.reason
    nothing = resolve_price(PriceIndex(), "p", "m", 0)
    assert "no price book is in force" in nothing.reason
    discounted = resolve_price(PriceIndex([deal], [PriceBook("b", (0,), (price("b/m"),))]), "p", "m", 0)
    assert (discounted.price, discounted.book_price, discounted.discount_percent) == ("prices/deal", "b/m", "12.5")
