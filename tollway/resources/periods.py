"""When which prices of a genai-prices model hold: its conditional prices as spans of time and bands of the day."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from tollway.config.v1.resources_pb2 import Band
from tollway.resources.bands import time_of_day
from tollway.resources.imports import Note

if TYPE_CHECKING:
    from genai_prices import types as catalog

_MS_PER_S = 1_000
_UNIX_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Period:
    """Prices from `start` on, None for always, in a band of the day or all of it; `variants` are those in effect."""

    start: date | None
    band: Band | None
    prices: "catalog.ModelPrice"
    variants: tuple["catalog.PriceVariant", ...]

    @property
    def effective_from_ms(self) -> int:
        if self.start is None:
            return 0
        return int(datetime.combine(self.start, time(), UTC).timestamp()) * _MS_PER_S

    @property
    def suffix(self) -> str:
        """What the ids of prices of one model differ by."""
        start = f"@{self.start.isoformat()}" if self.start else ""
        if self.band is None:
            return start
        return f"{start}@{time_of_day(self.band.start_minute)}-{time_of_day(self.band.end_minute)}"


def catalog_periods(model: "catalog.ModelInfo", omit: Note) -> Iterator[Period]:
    """In order of start; of each start those with a band first, in order of precedence.

    As the catalog has it, the last conditional price whose constraint is met counts, and else the first of all.
    """
    before: list[Period] = []
    for start in _starts(model):
        variants = tuple(_variants(model, start, omit))
        periods = [Period(start, band, prices, variants) for band, prices in _prices_at(model, start, omit)]
        if _contents(periods) != _contents(before):
            yield from periods
        before = periods


def _starts(model: "catalog.ModelInfo") -> list[date | None]:
    conditionals = model.prices if isinstance(model.prices, list) else []
    constraints = [found.constraint for found in (*conditionals, *(model.price_variants or ()))]
    dates = {start for constraint in constraints if (start := getattr(constraint, "start_date", None)) is not None}
    return [None, *sorted(dates)]


def _prices_at(
    model: "catalog.ModelInfo", start: date | None, omit: Note
) -> Iterator[tuple[Band | None, "catalog.ModelPrice"]]:
    """Prices in order of precedence; the last one holds all day."""
    if not isinstance(model.prices, list):
        yield None, model.prices
        return
    for conditional in reversed(model.prices):
        if _is_band(conditional.constraint):
            band = _band(conditional.constraint, omit)  # type: ignore[arg-type]
            if band is not None:
                yield band, conditional.prices
        elif _has_begun(conditional.constraint, start):
            yield None, conditional.prices
            return
    yield None, model.prices[0].prices


def _variants(model: "catalog.ModelInfo", start: date | None, omit: Note) -> Iterator["catalog.PriceVariant"]:
    for variant in model.price_variants or ():
        if _is_band(variant.constraint):
            omit("has prices of a service tier for times of day, which books cannot express")
        elif _has_begun(variant.constraint, start):
            yield variant


def _has_begun(
    constraint: "catalog.StartDateConstraint | catalog.TimeOfDateConstraint | None", at: date | None
) -> bool:
    start: date | None = getattr(constraint, "start_date", None)
    return start is None or (at is not None and start <= at)


def _is_band(constraint: object) -> bool:
    return hasattr(constraint, "start_time")


def _band(constraint: "catalog.TimeOfDateConstraint", omit: Note) -> Band | None:
    """None for a band that never holds, and for one that minutes cannot express."""
    start, end = _in_utc(constraint.start_time), _in_utc(constraint.end_time)
    if start == end:
        return None
    if any((edge.second, edge.microsecond) != (0, 0) for edge in (start, end)):
        omit(f"has prices from {start} to {end}, which bands of whole minutes cannot express")
        return None
    return Band(start_minute=start.hour * 60 + start.minute, end_minute=end.hour * 60 + end.minute)


def _in_utc(value: time) -> time:
    """A time without a zone is UTC already."""
    return value if value.tzinfo is None else datetime.combine(_UNIX_DAY, value).astimezone(UTC).time()


def _contents(periods: Iterable[Period]) -> list[tuple[object, ...]]:
    return [(str(p.band), id(p.prices), [id(variant) for variant in p.variants]) for p in periods]
