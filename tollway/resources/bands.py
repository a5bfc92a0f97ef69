"""Bands of the day between the admin form ("16:30", "mon") and the machine form (minutes, 1 to 7)."""

import re
from collections.abc import Iterator

from tollway.admin.v1.prices_pb2 import PriceBand
from tollway.config.v1.resources_pb2 import Band
from tollway.resources.violations import Violation

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def band_violations(path: str, band: PriceBand) -> Iterator[Violation]:
    for name in ("start_time", "end_time"):
        if not _TIME.fullmatch(getattr(band, name)):
            yield Violation(f"{path}.{name}", 'must be a time of day in UTC such as "16:30"')
    if band.start_time == band.end_time:
        yield Violation(f"{path}.end_time", "must differ from start_time; leave the band out for all day")
    for index, weekday in enumerate(band.weekdays):
        if weekday not in _WEEKDAYS:
            yield Violation(f"{path}.weekdays[{index}]", f'"{weekday}" is not one of {", ".join(_WEEKDAYS)}')
        elif weekday in band.weekdays[:index]:
            yield Violation(f"{path}.weekdays[{index}]", f'"{weekday}" is listed twice')


def project_band(band: PriceBand) -> Band:
    """The machine form of a band without violations."""
    return Band(
        start_minute=_minute(band.start_time),
        end_minute=_minute(band.end_time),
        weekdays=[_WEEKDAYS.index(weekday) + 1 for weekday in band.weekdays],
    )


def render_band(band: Band) -> PriceBand:
    """The admin form of a machine form."""
    return PriceBand(
        start_time=time_of_day(band.start_minute),
        end_time=time_of_day(band.end_minute),
        weekdays=[_WEEKDAYS[weekday - 1] for weekday in band.weekdays],
    )


def time_of_day(minute: int) -> str:
    """Minutes of a day as "16:30"."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _minute(time: str) -> int:
    hour, minute = time.split(":")
    return int(hour) * 60 + int(minute)
