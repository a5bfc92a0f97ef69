"""Requests become queries, or tell everything that is wrong with them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.filters import Condition
from controlplane.ledger.reading.requests import calls_page, sums_page
from tollway.admin.v1.usage_pb2 import ListUsageRecordsRequest, QueryUsageRequest

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
    assert (query.group_by, query.interval_s, query.conditions, query.limit) == ((), 0, (), 1001)


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
    request = QueryUsageRequest(filter="team=a", interval=Duration(seconds=3600), page_size=5)
    page = sums_page(request, now)
    assert page.query.conditions == (Condition("team", "teams/a"),)
    assert (page.query.interval_s, page.query.limit, page.size) == (3600, 6, 5)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"group_by": ["user"]}, "group_by"),
        ({"group_by": ["metadata.app"]}, "group_by"),
        ({"interval": Duration(seconds=600)}, "interval"),
        ({"interval": Duration(seconds=0)}, "interval"),
        ({"interval": Duration(seconds=-900)}, "interval"),
        ({"interval": Duration(seconds=900, nanos=1)}, "interval"),
        ({"interval": Duration(seconds=900 * 10**9)}, "interval"),
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
    request = QueryUsageRequest(group_by=["user", "route"], filter="x", page_size=-1, interval=Duration(seconds=1))
    with pytest.raises(InvalidArgument) as caught:
        sums_page(request, now)
    fields = [violation.field for violation in caught.value.violations]
    assert sorted(fields) == ["filter", "group_by", "group_by", "interval", "page_size"]


def test_a_token_continues_its_query_with_the_range_of_the_first_page() -> None:
    request = QueryUsageRequest(group_by=["team", "model"], interval=Duration(seconds=900), page_size=2)
    page = sums_page(request, now)
    slot = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    request.page_token = page.token_after({"slot": slot, "team": "teams/a", "model": "m"})
    later = sums_page(request, lambda: NOW + timedelta(hours=3)).query
    assert later.after == (slot, "teams/a", "m")
    assert (later.start, later.end) == (page.query.start, page.query.end)


@pytest.mark.parametrize("change", [{"group_by": ["team"]}, {"filter": "team=b"}, {"interval": Duration(seconds=900)}])
def test_a_token_of_another_query_is_refused(change: dict[str, Any]) -> None:
    token = sums_page(QueryUsageRequest(group_by=["model"]), now).token_after({"model": "m"})
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
