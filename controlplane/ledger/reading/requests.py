"""Admin requests -> queries of the ledger, with every violation at once. Pure but for the clock it is given."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.calendar import Interval, period_range, slot_boundaries
from controlplane.ledger.reading.checks import SECOND_US, Checks, Clock, Times
from controlplane.ledger.reading.dimensions import RECORD_DIMENSIONS, USAGE_DIMENSIONS
from controlplane.ledger.reading.filters import Condition, parse_filter
from controlplane.ledger.reading.pages import (
    invalid_page_token,
    page_size_of,
    query_fingerprint,
    read_page_token,
    write_page_token,
)
from controlplane.ledger.reading.queries import PERCENTILES, CallsQuery, Row, SumsQuery
from controlplane.ledger.times import LATEST_S, unix_us
from tollway.admin.v1.usage_pb2 import ListUsageRecordsRequest, QueryUsageRequest, UsagePeriod
from tollway.kernel.periods import QUARTER_HOUR_S, quarter_hour_start_s
from tollway.resources.messages import enum_words
from tollway.resources.violations import Violation

DEFAULT_RANGE_S = 86_400
DEFAULT_ROWS, MAX_ROWS = 1_000, 10_000
_OLDEST_CALL_MS = 1_577_836_800_000
_AHEAD_MS = 86_400_000
_MAX_MEASURE = 1 << 62
_NO_CONDITIONS: tuple[Condition, ...] = ()
Range = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class SumsPage:
    """A query for one row more than the page holds, and what tokens of its pages are bound to."""

    query: SumsQuery
    zone: tzinfo
    size: int
    fingerprint: str

    def token_after(self, row: Row) -> str:
        """The token of the page after `row`, a row of this page."""
        query = self.query
        position = [row["number"], *(row[f"d{number}"] for number in range(len(query.group_by)))]
        if query.order is not None:
            position.insert(0, row[query.order.measure])
        start_s, end_s = int(query.start.timestamp()), int(query.end.timestamp())
        return write_page_token(self.fingerprint, [start_s, end_s, *position])


@dataclass(frozen=True, slots=True)
class CallsPage:
    """A query for one call more than the page holds, and what tokens of its pages are bound to."""

    query: CallsQuery
    size: int
    fingerprint: str

    def token_after(self, request_id: uuid.UUID) -> str:
        return write_page_token(self.fingerprint, [self.query.start_ms, self.query.end_ms, request_id.hex])


def sums_page(request: QueryUsageRequest, now: Clock) -> SumsPage:
    """What `request` asks for. Raises InvalidArgument."""
    checks = Checks()
    group_by, order = checks.group_by(request.group_by), checks.order(request.order_by)
    interval, zone = checks.interval(request.interval), checks.time_zone(request.time_zone)
    times = checks.times(request)
    _check_period(checks, request, times)
    conditions = checks.value(lambda: parse_filter(request.filter, USAGE_DIMENSIONS), _NO_CONDITIONS)
    size = checks.value(lambda: page_size_of(request.page_size, default=DEFAULT_ROWS, maximum=MAX_ROWS), 0)
    checks.finish()
    fingerprint = _fingerprint(request, times)
    if request.page_token:
        position = read_page_token(request.page_token, fingerprint)
        (start, end), after = _sums_position(position, len(group_by), has_order=order is not None)
    else:
        (start, end), after = _range(request, times, zone, now), ()
    latencies = request.latencies if request.HasField("latencies") else None
    if order is not None and order.measure in PERCENTILES:
        latencies = True
    boundaries = _boundaries(start, end, interval, zone)
    query = SumsQuery(boundaries, group_by, conditions, size + 1, order, latencies, after)
    return SumsPage(query, zone, size, fingerprint)


def calls_page(request: ListUsageRecordsRequest, now: Clock) -> CallsPage:
    """What `request` asks for; all calls when it has no times. Raises InvalidArgument."""
    checks = Checks()
    times = checks.times(request)
    conditions = checks.value(lambda: parse_filter(request.filter, RECORD_DIMENSIONS), _NO_CONDITIONS)
    size = checks.value(lambda: page_size_of(request.page_size, default=50, maximum=500), 0)
    checks.finish()
    fingerprint = query_fingerprint("calls", request.filter, times)
    before = None
    if request.page_token:
        start_ms, end_ms, before = _calls_position(read_page_token(request.page_token, fingerprint))
    else:
        start_ms, end_ms = _call_range_ms(*times, now)
    return CallsPage(CallsQuery(start_ms, end_ms, conditions, size + 1, before), size, fingerprint)


def _check_period(checks: Checks, request: QueryUsageRequest, times: Times) -> None:
    if request.period and times != (None, None):
        checks.add("period", "stands instead of start_time and end_time; leave them out")
    if request.period not in UsagePeriod.values():
        checks.add("period", f"must be one of {', '.join(enum_words(UsagePeriod.DESCRIPTOR))}")


def _fingerprint(request: QueryUsageRequest, times: Times) -> str:
    said = [request.interval, request.time_zone, request.period, request.order_by, request.latencies]
    return query_fingerprint("sums", list(request.group_by), request.filter, times, *said)


def _range(request: QueryUsageRequest, times: Times, zone: tzinfo, now: Clock) -> Range:
    if request.period:
        return period_range(request.period, now(), zone)
    return _quarter_hours(*times, now)


def _boundaries(start: datetime, end: datetime, interval: Interval | None, zone: tzinfo) -> tuple[datetime, ...]:
    if interval is None:
        return start, end
    try:
        return tuple(slot_boundaries(start, end, interval, zone))
    except ValueError as error:
        raise InvalidArgument([Violation("interval", str(error))]) from None


def _quarter_hours(start_us: int | None, end_us: int | None, now: Clock) -> Range:
    """The range rounded outward to whole quarter hours."""
    end_s = -(-(unix_us(now()) if end_us is None else end_us) // SECOND_US)
    start_s = max(0, end_s - DEFAULT_RANGE_S) if start_us is None else start_us // SECOND_US
    if start_s >= end_s:
        raise InvalidArgument([Violation("start_time", "must be before end_time, which is the present when unset")])
    return _datetime(quarter_hour_start_s(start_s)), _datetime(-quarter_hour_start_s(-end_s))


def _call_range_ms(start_us: int | None, end_us: int | None, now: Clock) -> tuple[int, int]:
    """The range in Unix milliseconds; without an end it has room for data planes whose clocks are ahead."""
    start_ms = _OLDEST_CALL_MS if start_us is None else -(-start_us // 1000)
    end_ms = unix_us(now()) // 1000 + _AHEAD_MS if end_us is None else -(-end_us // 1000)
    return start_ms, max(start_ms, end_ms)


def _sums_position(position: list[Any], groups: int, *, has_order: bool) -> tuple[Range, tuple[Any, ...]]:
    """The range, and the last row of a page: its measure if there is an order, its slot, its group's values."""
    if len(position) != 3 + has_order + groups:
        raise invalid_page_token()
    start, end = _token_time(position[0]), _token_time(position[1])
    numbers, values = position[2 : 3 + has_order], position[3 + has_order :]
    if start >= end or not all(type(number) is int and abs(number) < _MAX_MEASURE for number in numbers):
        raise invalid_page_token()
    if not 0 <= numbers[-1] < 1 << 31 or not all(isinstance(value, str) and "\0" not in value for value in values):
        raise invalid_page_token()
    return (start, end), (*numbers, *values)


def _calls_position(position: list[Any]) -> tuple[int, int, uuid.UUID]:
    match position:
        case [int(start_ms), int(end_ms), str(last)] if 0 <= start_ms <= end_ms <= LATEST_S * 1000 + _AHEAD_MS:
            try:
                return start_ms, end_ms, uuid.UUID(hex=last)
            except ValueError:
                raise invalid_page_token() from None
        case _:
            raise invalid_page_token()


def _token_time(unix_s: Any) -> datetime:
    if type(unix_s) is not int or not 0 <= unix_s <= LATEST_S + QUARTER_HOUR_S or unix_s % QUARTER_HOUR_S:
        raise invalid_page_token()
    return _datetime(unix_s)


def _datetime(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
