from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.errors import InvalidArgument
from controlplane.ledger.rerating.requests import run_id_of, run_order
from tollway.admin.v1.rerating_pb2 import ReratingRun

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def stamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message


def message(**fields: Any) -> ReratingRun:
    return ReratingRun(**{"start_time": stamp(NOW - timedelta(days=30)), "price_book": "default", **fields})


def test_the_present_ends_what_has_no_end_or_ends_later() -> None:
    order = run_order(message(), NOW)
    assert (order.end_time, order.price_book) == (NOW, "priceBooks/default")
    assert run_order(message(end_time=stamp(NOW + timedelta(days=9))), NOW).end_time == NOW
    assert run_order(message(end_time=stamp(NOW - timedelta(days=9))), NOW).end_time == NOW - timedelta(days=9)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidArgument) as refused:
        run_order(ReratingRun(filter="colour = red"), NOW)
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["rerating_run.start_time", "rerating_run.price_book", "rerating_run.filter"]


@pytest.mark.parametrize(
    "fields",
    [
        {"start_time": stamp(NOW)},
        {"start_time": stamp(NOW + timedelta(days=1)), "end_time": stamp(NOW + timedelta(days=2))},
        {"end_time": stamp(NOW - timedelta(days=40))},
        {"start_time": Timestamp(seconds=-1)},
        {"end_time": Timestamp(seconds=1, nanos=-1)},
    ],
)
def test_ranges_that_are_none(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        run_order(message(**fields), NOW)


def test_names_of_runs() -> None:
    with pytest.raises(InvalidArgument, match="parent: must be reratingRuns/"):
        run_id_of("teams/growth", "parent")
