"""Fields that several usage methods have, with every violation at once. Pure but for the clock it is given."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.errors import InvalidArgument
from controlplane.ledger.entries import ROLLUP_SUMS, STATE_SUMS
from controlplane.ledger.reading.calendar import Interval, parse_interval
from controlplane.ledger.reading.dimensions import USAGE_DIMENSIONS, dimension_names, is_dimension
from controlplane.ledger.reading.queries import PERCENTILES, Order
from controlplane.ledger.times import UNREADABLE, is_readable
from tollway.admin.v1.usage_pb2 import ListUsageRecordsRequest, QueryUsageRequest
from tollway.resources.time_zones import parse_time_zone
from tollway.resources.violations import Violation

MAX_GROUPS = 8
SECOND_US = 1_000_000
Times = tuple[int | None, int | None]
"""Start and end in Unix microseconds, None where unset."""
Clock = Callable[[], datetime]
_MONEY = {
    "cost_usd": "cost_nano_usd",
    "failed_cost_usd": "failed_cost_nano_usd",
    "adjustment_usd": "adjustment_nano_usd",
}
_COUNTS = [name for name in ROLLUP_SUMS if name not in (*_MONEY.values(), *STATE_SUMS)]
MEASURES = {**_MONEY, **{name: name for name in (*_COUNTS, *PERCENTILES)}}
"""What rows can be ordered by, and its column."""
_T = TypeVar("_T")


class Checks:
    """Reads the fields of one request and keeps what is wrong with them until `finish`."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def finish(self) -> None:
        """Raises InvalidArgument when anything was wrong."""
        if self._violations:
            raise InvalidArgument(self._violations)

    def add(self, field: str, description: str) -> None:
        self._violations.append(Violation(field, description))

    def value(self, read: Callable[[], _T], otherwise: _T) -> _T:
        """What `read` returns, or `otherwise` when it raised InvalidArgument."""
        try:
            return read()
        except InvalidArgument as error:
            self._violations += error.violations
            return otherwise

    def group_by(self, names: Sequence[str]) -> tuple[str, ...]:
        """Dimensions in the order given, each once; a name may hold several with commas."""
        wanted = dict.fromkeys(part.strip() for name in names for part in name.split(",") if part.strip())
        for name in wanted:
            if not is_dimension(name, USAGE_DIMENSIONS) or "\0" in name:
                self.add("group_by", f'does not know "{name[:60]}"; it takes {dimension_names(USAGE_DIMENSIONS)}')
        if len(wanted) > MAX_GROUPS:
            self.add("group_by", f"has {len(wanted)} dimensions; it takes at most {MAX_GROUPS}")
        return tuple(wanted)

    def interval(self, text: str) -> Interval | None:
        """Length of a time slot; None when there are none."""
        try:
            return parse_interval(text) if text else None
        except ValueError as error:
            self.add("interval", str(error))
            return None

    def time_zone(self, name: str) -> tzinfo:
        try:
            return parse_time_zone(name)
        except ValueError as error:
            self.add("time_zone", str(error))
            return UTC

    def order(self, text: str) -> Order | None:
        """`MEASURE` or `MEASURE desc`; None when there is none."""
        words = text.split()
        if not words:
            return None
        measure = MEASURES.get(words[0])
        if measure is None or words[1:] not in ([], ["asc"], ["desc"]):
            self.add("order_by", f'must be a measure, or one followed by " desc": {", ".join(MEASURES)}')
            return None
        return Order(measure, words[1:] == ["desc"])

    def times(self, request: QueryUsageRequest | ListUsageRecordsRequest) -> Times:
        start = self._time_us("start_time", request.start_time) if request.HasField("start_time") else None
        end = self._time_us("end_time", request.end_time) if request.HasField("end_time") else None
        if start is not None and end is not None and start >= end:
            self.add("start_time", "must be before end_time")
        return start, end

    def _time_us(self, field: str, time: Timestamp) -> int:
        if not is_readable(time):
            self.add(field, UNREADABLE)
        return time.seconds * SECOND_US + time.nanos // 1000
