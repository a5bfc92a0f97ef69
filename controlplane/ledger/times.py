"""Times as messages, as Python has them, and as counts from 1970. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final, overload

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tollway.resources.violations import Violation

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_S: Final = 4_102_444_800
"""The year 2100."""
UNREADABLE: Final = "must be a time between 1970 and 2100"
_NANOS_PER_SECOND: Final = 1_000_000_000


def unix_us(time: datetime) -> int:
    """Whole microseconds from 1970 to `time`."""
    return (time - EPOCH) // timedelta(microseconds=1)


def from_unix_us(time_us: int) -> datetime:
    """The inverse of `unix_us`."""
    return EPOCH + timedelta(microseconds=time_us)


@overload
def timestamp(time: datetime) -> Timestamp: ...
@overload
def timestamp(time: datetime | None) -> Timestamp | None: ...
def timestamp(time: datetime | None) -> Timestamp | None:
    """`time` in a message; None is no time."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def is_readable(time: Timestamp) -> bool:
    """Whether it is a time between 1970 and 2100."""
    return 0 <= time.seconds <= LATEST_S and 0 <= time.nanos < _NANOS_PER_SECOND


def read_time(message: Message, field: str, path: str, violations: list[Violation]) -> datetime | None:
    """The time in `field` of `message`; None when it is unset or, with a violation of `path`, wrong."""
    if not message.HasField(field):
        return None
    time: Timestamp = getattr(message, field)
    if not is_readable(time):
        violations.append(Violation(path, UNREADABLE))
        return None
    return time.ToDatetime(UTC)
