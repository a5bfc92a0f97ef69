"""Which price holds: admins' before books, the book in force, and a discount on what the book says."""

import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tollway.kernel.price_index import PriceBook, PriceIndex
from tollway.kernel.pricing import Band, Price, Rate
from tollway.kernel.usage import Meter, Usage

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
NIGHT = Band(22 * 60, 6 * 60)
USAGE = Usage(input=10**6)


def price(name: str, nano_usd: int | None = 1, *, models: str = ".*", provider: str = "p", **fields: object) -> Price:
    rates = () if nano_usd is None else (Rate(Meter.INPUT, nano_usd),)
    return Price(name, 1, provider, re.compile(models), rates, **fields)  # type: ignore[arg-type]


def found_name(index: PriceIndex, time_ms: int = 0, model: str = "m") -> str | None:
    found = index.find("p", model, time_ms)
    return None if found is None else found.name


def test_the_order_of_admins_prices() -> None:
    names = ["any-provider", "pattern", "old", "new", "exact", "night"]
    prices = {
        "any-provider": price("any-provider", provider=""),
        "pattern": price("pattern", models="m.*"),
        "old": price("old", models="m", exact=True),
        "new": price("new", models="m", exact=True, effective_from_ms=5),
        "exact": price("exact", models="m", exact=True, effective_from_ms=6),
        "night": price("night", models="m", exact=True, band=NIGHT),
    }
    for count in range(1, len(names) + 1):
        index = PriceIndex([prices[name] for name in names[:count]])
        assert found_name(index, 23 * HOUR_MS) == names[count - 1]
    assert found_name(index, 12 * HOUR_MS) == "exact"
    assert found_name(index, 5 + 6 * HOUR_MS) == "exact"
    assert found_name(PriceIndex([prices["old"], prices["new"]]), 4) == "old"


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True), st.integers(0, 25), st.data())
def test_the_book_that_took_effect_last_holds(starts: list[int], time_ms: int, data: st.DataObject) -> None:
    """Also when a book takes effect several times, and whether or not it has the model."""
    owners = [data.draw(st.sampled_from("abc")) for _ in starts]
    books = [
        PriceBook(name, tuple(s for s, owner in zip(starts, owners, strict=True) if owner == name), (price(name),))
        for name in "ab"
    ]
    books.append(PriceBook("c", tuple(s for s, o in zip(starts, owners, strict=True) if o == "c"), ()))
    begun = [(start, owner) for start, owner in zip(starts, owners, strict=True) if start <= time_ms]
    expected = max(begun)[1] if begun else None
    index = PriceIndex((), books)
    assert found_name(index, time_ms) == (None if expected == "c" else expected)
    in_force = index.book_at(time_ms)
    assert (None if in_force is None else in_force.name) == expected


def test_rows_of_a_book_hold_in_their_order() -> None:
    rows = (
        price("late", models="m", effective_from_ms=100),
        price("night", models="m", band=NIGHT),
        price("day", models="m"),
        price("rest"),
    )
    index = PriceIndex((), [PriceBook("b", (0,), rows)])
    assert [found_name(index, time_ms) for time_ms in (0, 99, 100)] == ["night", "night", "late"]
    assert found_name(index, 12 * HOUR_MS - DAY_MS) is None, "before the book there was none"
    assert found_name(index, 0, "other") == "rest"


@given(st.integers(0, 10**12), st.integers(1, 10**6), st.integers(0, 10**7))
def test_a_discount_alone_takes_off_the_book(nano_usd: int, discount_ppm: int, tokens: int) -> None:
    book = PriceBook("b", (0,), (price("b/row", nano_usd),))
    index = PriceIndex([price("deal", None, models="m", discount_ppm=discount_ppm)], [book])
    found = index.find("p", "m", 0)
    assert found is not None
    assert (found.name, found.revision) == ("deal", 1)
    exact = Fraction(nano_usd * tokens, 10**6) * (1 - Fraction(discount_ppm, 10**6))
    cost = found.cost_nano_usd(Usage(input=tokens))
    assert cost is not None
    assert exact <= cost < exact + 1
    assert index.find("p", "m", 0) is found, "it is made once"
    assert found_name(index, 0, "other") == "b/row"


def test_a_discount_alone_without_a_book_prices_nothing_and_rates_of_an_admin_are_not_discounted() -> None:
    deal = price("deal", None, discount_ppm=500_000)
    assert found_name(PriceIndex([deal])) is None
    own = price("own", 7, models="m", exact=True)
    index = PriceIndex([deal, own], [PriceBook("b", (0,), (price("b/row", 8),))])
    found = index.find("p", "m", 0)
    assert found is not None
    assert (found.name, found.cost_nano_usd(USAGE)) == ("own", 7)


def test_a_flood_of_models_is_not_remembered() -> None:
    index = PriceIndex((), [PriceBook("b", (0,), (price("b/row"),))])
    for number in range(5000):
        assert found_name(index, 0, f"m{number}") == "b/row"
    assert len(index._found) == 4096
