"""Admin requests -> queries of the ledger, with every violation at once. Pure but for the clock it is given."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.filters import RECORD_DIMENSIONS, USAGE_DIMENSIONS, Condition, parse_filter
from controlplane.ledger.reading.pages import (
    invalid_page_token,
    page_size_of,
    query_fingerprint,
    read_page_token,
    write_page_token,
)
from controlplane.ledger.reading.queries import CallsQuery, SumsQuery
from tollway.admin.v1.usage_pb2 import ListUsageRecordsRequest, QueryUsageRequest
from tollway.kernel.periods import QUARTER_HOUR_S, quarter_hour_start_s
from tollway.resources.violations import Violation

DEFAULT_RANGE_S = 86_400
MAX_INTERVAL_S = 366 * 86_400
LATEST_S = 4_102_444_800
_SECOND_US = 1_000_000
_OLDEST_CALL_MS = 1_577_836_800_000
_AHEAD_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_CONDITIONS: tuple[Condition, ...] = ()
_T = TypeVar("_T")

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SumsPage:
    """A query for one row more than the page holds, and what tokens of its pages are bound to."""

    query: SumsQuery
    size: int
    fingerprint: str

    def token_after(self, row: Any) -> str:
        """The token of the page after `row`, a row of this page."""
        position = [row[name] for name in self.query.group_by]
        if self.query.interval_s:
            position.insert(0, int(row["slot"].timestamp()))
        start_s, end_s = int(self.query.start.timestamp()), int(self.query.end.timestamp())
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
    checks = _Checks()
    group_by = checks.group_by(request.group_by)
    interval_s = checks.interval_s(request)
    times = checks.times(request)
    conditions = checks.value(lambda: parse_filter(request.filter, USAGE_DIMENSIONS), _NO_CONDITIONS)
    size = checks.value(lambda: page_size_of(request.page_size, default=1_000, maximum=10_000), 0)
    checks.finish()
    fingerprint = query_fingerprint("sums", group_by, interval_s, request.filter, times)
    if request.page_token:
        position = read_page_token(request.page_token, fingerprint)
        start, end, after = _sums_position(position, len(group_by), bool(interval_s))
    else:
        start, end = _quarter_hours(*times, now)
        after = ()
    query = SumsQuery(start, end, group_by, interval_s, conditions, size + 1, after)
    return SumsPage(query, size, fingerprint)


def calls_page(request: ListUsageRecordsRequest, now: Clock) -> CallsPage:
    """What `request` asks for; all calls when it has no times. Raises InvalidArgument."""
    checks = _Checks()
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


class _Checks:
    """Reads the fields of one request and keeps what is wrong with them until `finish`."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def finish(self) -> None:
        """Raises InvalidArgument when anything was wrong."""
        if self._violations:
            raise InvalidArgument(self._violations)

    def value(self, read: Callable[[], _T], otherwise: _T) -> _T:
        """What `read` returns, or `otherwise` when it raised InvalidArgument."""
        try:
            return read()
        except InvalidArgument as error:
            self._violations += error.violations
            return otherwise

    def group_by(self, names: Sequence[str]) -> tuple[str, ...]:
        """Dimensions in the order given, each once; a name may hold several with commas."""
        wanted = [part.strip() for name in names for part in name.split(",") if part.strip()]
        for name in wanted:
            if name not in USAGE_DIMENSIONS:
                self._add("group_by", f'does not know "{name[:60]}"; it takes {", ".join(USAGE_DIMENSIONS)}')
        return tuple(dict.fromkeys(wanted))

    def interval_s(self, request: QueryUsageRequest) -> int:
        """Length of a time slot; 0 when there are none."""
        if not request.HasField("interval"):
            return 0
        seconds, nanos = request.interval.seconds, request.interval.nanos
        if nanos or seconds % QUARTER_HOUR_S or not 0 < seconds <= MAX_INTERVAL_S:
            self._add("interval", f'must be a multiple of {QUARTER_HOUR_S} s such as "3600s", at most 366 days')
        return seconds

    def times(self, request: QueryUsageRequest | ListUsageRecordsRequest) -> tuple[int | None, int | None]:
        """Start and end in Unix microseconds, None where unset."""
        start = self._time_us("start_time", request.start_time) if request.HasField("start_time") else None
        end = self._time_us("end_time", request.end_time) if request.HasField("end_time") else None
        if start is not None and end is not None and start >= end:
            self._add("start_time", "must be before end_time")
        return start, end

    def _time_us(self, field: str, time: Timestamp) -> int:
        if not 0 <= time.seconds <= LATEST_S or not 0 <= time.nanos < 1_000_000_000:
            self._add(field, "must be a time between 1970 and 2100")
        return time.seconds * _SECOND_US + time.nanos // 1000

    def _add(self, field: str, description: str) -> None:
        self._violations.append(Violation(field, description))


def _quarter_hours(start_us: int | None, end_us: int | None, now: Clock) -> tuple[datetime, datetime]:
    """The range rounded outward to whole quarter hours."""
    end_s = -(-(_unix_us(now()) if end_us is None else end_us) // _SECOND_US)
    start_s = max(0, end_s - DEFAULT_RANGE_S) if start_us is None else start_us // _SECOND_US
    if start_s >= end_s:
        raise InvalidArgument([Violation("start_time", "must be before end_time, which is the present when unset")])
    return _datetime(quarter_hour_start_s(start_s)), _datetime(-quarter_hour_start_s(-end_s))


def _call_range_ms(start_us: int | None, end_us: int | None, now: Clock) -> tuple[int, int]:
    """The range in Unix milliseconds; without an end it has room for data planes whose clocks are ahead."""
    start_ms = _OLDEST_CALL_MS if start_us is None else -(-start_us // 1000)
    end_ms = _unix_us(now()) // 1000 + _AHEAD_MS if end_us is None else -(-end_us // 1000)
    return start_ms, max(start_ms, end_ms)


def _sums_position(position: list[Any], groups: int, has_slots: bool) -> tuple[datetime, datetime, tuple[Any, ...]]:
    """The range and the last row of a page: its slot if there are any, then the values of its group."""
    if len(position) != 2 + has_slots + groups:
        raise invalid_page_token()
    times = [_token_time(value) for value in position[: 2 + has_slots]]
    values = position[2 + has_slots :]
    if not all(isinstance(value, str) and "\0" not in value for value in values):
        raise invalid_page_token()
    return times[0], times[1], (*times[2:], *values)


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
    if type(unix_s) is not int or not 0 <= unix_s <= LATEST_S + QUARTER_HOUR_S:
        raise invalid_page_token()
    return _datetime(unix_s)


def _datetime(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _unix_us(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
