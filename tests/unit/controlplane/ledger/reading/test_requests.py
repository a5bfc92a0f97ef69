"""Requests become queries, or tell everything that is wrong with them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.filters import Condition
from controlplane.ledger.reading.queries import Order
from controlplane.ledger.reading.requests import calls_page, sums_page
from tollway.admin.v1.usage_pb2 import USAGE_PERIOD_TODAY, ListUsageRecordsRequest, QueryUsageRequest

NOW = datetime(2026, 11, 22, 10, 7, 30, tzinfo=UTC)


def now() -> datetime:
    return NOW


def stamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message


def test_the_last_day_is_what_is_asked_for_by_default() -> None:
    query = sums_page(QueryUsageRequest(), now).query
    assert query.start == datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
    assert query.end == datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    assert (query.group_by, len(query.boundaries), query.conditions, query.limit) == ((), 2, (), 1001)


def test_ranges_are_rounded_outward() -> None:
    start, end = datetime(2026, 11, 1, 0, 14, 59, 1, tzinfo=UTC), datetime(2026, 11, 1, 1, 0, 0, 1, tzinfo=UTC)
    query = sums_page(QueryUsageRequest(start_time=stamp(start), end_time=stamp(end)), now).query
    assert (query.start, query.end) == (
        datetime(2026, 11, 1, 0, 0, tzinfo=UTC),
        datetime(2026, 11, 1, 1, 15, tzinfo=UTC),
    )


def test_whole_quarter_hours_stay_as_they_are() -> None:
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 0, 15, tzinfo=UTC)
    query = sums_page(QueryUsageRequest(start_time=stamp(start), end_time=stamp(end)), now).query
    assert (query.start, query.end) == (start, end)


def test_group_by_takes_commas_and_repetition() -> None:
    request = QueryUsageRequest(group_by=["team, model", "model", "provider"])
    assert sums_page(request, now).query.group_by == ("team", "model", "provider")


def test_filter_and_interval() -> None:
    request = QueryUsageRequest(filter="team=a", interval="1h", page_size=5)
    page = sums_page(request, now)
    assert page.query.conditions == (Condition("team", "=", ("teams/a",)),)
    assert (len(page.query.boundaries) - 1, page.query.limit, page.size) == (25, 6, 5)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"group_by": ["colour"]}, "group_by"),
        ({"group_by": ["metadata."]}, "group_by"),
        ({"group_by": [f"metadata.m{n}" for n in range(9)]}, "group_by"),
        ({"interval": "600s"}, "interval"),
        ({"interval": "0h"}, "interval"),
        ({"interval": "-1h"}, "interval"),
        ({"interval": "1.5h"}, "interval"),
        ({"interval": "2y"}, "interval"),
        ({"interval": "367d"}, "interval"),
        ({"interval": "15m", "start_time": stamp(NOW - timedelta(days=200))}, "interval"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"period": USAGE_PERIOD_TODAY, "end_time": stamp(NOW)}, "period"),
        ({"period": 99}, "period"),
        ({"order_by": "beauty"}, "order_by"),
        ({"order_by": "cost_usd down"}, "order_by"),
        ({"filter": "x = 1"}, "filter"),
        ({"page_size": -1}, "page_size"),
        ({"start_time": Timestamp(seconds=-1)}, "start_time"),
        ({"end_time": Timestamp(seconds=10**11)}, "end_time"),
        ({"start_time": stamp(NOW), "end_time": stamp(NOW)}, "start_time"),
        ({"start_time": stamp(NOW + timedelta(hours=1))}, "start_time"),
        ({"page_token": "nonsense"}, "page_token"),
    ],
)
def test_what_is_wrong_is_told_by_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        sums_page(QueryUsageRequest(**fields), now)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_all_violations_come_at_once() -> None:
    request = QueryUsageRequest(group_by=["a", "b"], filter="x", page_size=-1, interval="1s")
    with pytest.raises(InvalidArgument) as caught:
        sums_page(request, now)
    fields = [violation.field for violation in caught.value.violations]
    assert sorted(fields) == ["filter", "group_by", "group_by", "interval", "page_size"]


def test_a_token_continues_its_query_with_the_range_of_the_first_page() -> None:
    request = QueryUsageRequest(group_by=["team", "model"], interval="15m", page_size=2)
    page = sums_page(request, now)
    request.page_token = page.token_after({"number": 3, "d0": "teams/a", "d1": "m"})
    later = sums_page(request, lambda: NOW + timedelta(hours=3)).query
    assert later.after == (3, "teams/a", "m")
    assert later.boundaries == page.query.boundaries


def test_a_token_of_an_ordered_query_holds_the_measure() -> None:
    request = QueryUsageRequest(group_by=["team"], order_by="cost_usd desc", period=USAGE_PERIOD_TODAY)
    page = sums_page(request, now)
    assert page.query.order == Order("cost_nano_usd", is_descending=True)
    request.page_token = page.token_after({"cost_nano_usd": -7, "number": 0, "d0": "teams/a"})
    assert sums_page(request, now).query.after == (-7, 0, "teams/a")


def test_order_by_a_percentile_asks_for_latencies() -> None:
    assert sums_page(QueryUsageRequest(order_by="duration_p95_ms desc"), now).query.latencies
    assert not sums_page(QueryUsageRequest(order_by="requests"), now).query.latencies


@pytest.mark.parametrize(
    "change", [{"group_by": ["team"]}, {"filter": "team=b"}, {"interval": "15m"}, {"time_zone": "Asia/Tokyo"}]
)
def test_a_token_of_another_query_is_refused(change: dict[str, Any]) -> None:
    token = sums_page(QueryUsageRequest(group_by=["model"]), now).token_after({"number": 0, "d0": "m"})
    fields: dict[str, Any] = {"group_by": ["model"], "page_token": token, **change}
    with pytest.raises(InvalidArgument, match="page_token"):
        sums_page(QueryUsageRequest(**fields), now)


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_no_token_text_does_harm(token: str) -> None:
    for request in (QueryUsageRequest(page_token=token), ListUsageRecordsRequest(page_token=token)):
        try:
            if isinstance(request, QueryUsageRequest):
                sums_page(request, now)
            else:
                calls_page(request, now)
        except InvalidArgument as error:
            assert [violation.field for violation in error.violations] == ["page_token"]
        else:
            assert token == ""


def test_calls_without_times_are_all_calls() -> None:
    query = calls_page(ListUsageRecordsRequest(), now).query
    assert query.start_ms < 1_600_000_000_000
    assert query.end_ms > NOW.timestamp() * 1000
    assert (query.limit, query.before) == (51, None)


def test_a_token_of_calls_continues_before_the_last_call() -> None:
    request = ListUsageRecordsRequest(filter='end_user = "u"', page_size=999)
    page = calls_page(request, now)
    assert page.size == 500
    last = uuid.uuid4()
    request.page_token = page.token_after(last)
    later = calls_page(request, now).query
    assert (later.before, later.start_ms, later.end_ms) == (last, page.query.start_ms, page.query.end_ms)
