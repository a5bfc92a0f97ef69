"""What two books say differently for calls that begin at a moment or later, rate by rate. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tollway.config.v1.resources_pb2 import Band, BookPrice
from tollway.resources.bands import time_of_day
from tollway.resources.pricing import book_model


@dataclass(frozen=True, slots=True, order=True)
class RateKey:
    """What a rate is for; `effective_from_ms` is 0 for what holds at the moment of comparison.

    `band` is a text that orders bands, "" for all day, and `meter` the number of the meter.
    """

    provider: str
    model: str
    effective_from_ms: int
    band: str
    service_tier: str
    meter: int
    above_input_tokens: int


@dataclass(frozen=True, slots=True)
class Change:
    """Nano-USD per million units before and after, None where there is no such rate; `band` is None for all day."""

    key: RateKey
    band: Band | None
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class BookDiff:
    """`changes` are in order of key."""

    changes: tuple[Change, ...]
    unchanged: int

    @property
    def added(self) -> int:
        return sum(change.before is None for change in self.changes)

    @property
    def removed(self) -> int:
        return sum(change.after is None for change in self.changes)

    @property
    def changed(self) -> int:
        return len(self.changes) - self.added - self.removed


_Rates = Mapping[RateKey, tuple[Band | None, int]]


def diff_books(base: Iterable[BookPrice], other: Iterable[BookPrice], time_ms: int) -> BookDiff:
    """What changes at `time_ms`, Unix milliseconds, and after it, when `other` takes the place of `base`."""
    before, after = _rates(base, time_ms), _rates(other, time_ms)
    changes = []
    for key in sorted(before.keys() | after.keys()):
        band, old = before.get(key, (None, None))
        new_band, new = after.get(key, (None, None))
        if old != new:
            changes.append(Change(key, band or new_band, old, new))
    return BookDiff(tuple(changes), len(before.keys() | after.keys()) - len(changes))


def _rates(rows: Iterable[BookPrice], time_ms: int) -> _Rates:
    found: dict[RateKey, tuple[Band | None, int]] = {}
    for (provider, model), own in _by_model(rows).items():
        begun = [row.price.effective_from_ms for row in own if row.price.effective_from_ms <= time_ms]
        current_ms = max(begun, default=0)
        for row in own:
            start_ms = row.price.effective_from_ms
            if start_ms < current_ms:
                continue
            band = row.price.band if row.price.HasField("band") else None
            shown_ms = 0 if start_ms <= time_ms else start_ms
            for rate in row.price.rates:
                key = RateKey(
                    provider,
                    model,
                    shown_ms,
                    _band_text(band),
                    rate.service_tier,
                    int(rate.meter),
                    rate.above_input_tokens,
                )
                found.setdefault(key, (band, rate.nano_usd_per_million))
    return found


def _by_model(rows: Iterable[BookPrice]) -> Mapping[tuple[str, str], list[BookPrice]]:
    found: dict[tuple[str, str], list[BookPrice]] = {}
    for row in rows:
        found.setdefault((row.price.provider, book_model(row)), []).append(row)
    return found


def _band_text(band: Band | None) -> str:
    if band is None:
        return ""
    days = "".join(str(day) for day in sorted(band.weekdays))
    return f"{time_of_day(band.start_minute)}-{time_of_day(band.end_minute)} {days}"
