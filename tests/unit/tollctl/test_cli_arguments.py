from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollctl.main import split_arguments
from tollctl.moments import parse_duration, parse_future, parse_past, render_age, render_duration, render_moment

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WORDS = st.lists(st.sampled_from(["get", "-o", "json", "--team=a", "x/y", "--dry-run", "-"]))


@pytest.mark.parametrize(
    ("arguments", "options", "rest"),
    [
        (["get", "teams", "--server", "http://a"], ["--server", "http://a"], ["get", "teams"]),
        (["--token=t", "get", "-q", "teams"], ["--token=t", "-q"], ["get", "teams"]),
        (["chat", "m", "--", "--token", "x"], [], ["chat", "m", "--", "--token", "x"]),
        (["get", "--server"], ["--server"], ["get"]),
    ],
)
def test_global_options_may_stand_anywhere(arguments: list[str], options: list[str], rest: list[str]) -> None:
    assert split_arguments(arguments) == (options, rest)


@given(WORDS, WORDS)
def test_other_arguments_keep_their_order(before: list[str], after: list[str]) -> None:
    assert split_arguments([*before, "--data-dir", "d", *after]) == (["--data-dir", "d"], [*before, *after])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("1h30m", 5_400), ("2w", 1_209_600)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert render_duration(parse_duration(text)) == f"{seconds}s"


@pytest.mark.parametrize("text", ["", "24", "h", "1.5h", "-1h", "1h ", "999999999w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-22T12:00:00Z"),
        ("24h", "2026-11-21T12:00:00Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01T02:00:00+02:00", "2026-11-01T00:00:00Z"),
        ("2026-11-01T09:30:00.5Z", "2026-11-01T09:30:00.500000Z"),
    ],
)
def test_times_in_the_past(text: str, expected: str) -> None:
    assert render_moment(parse_past(text, NOW)) == expected


def test_durations_ahead() -> None:
    assert parse_future("30d", NOW) == NOW + timedelta(days=30)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "99999999d", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a duration|too long"):
        parse_past(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d"), (-172_800, "in 2d")],
)
def test_ages(seconds: int, expected: str) -> None:
    assert render_age(NOW - timedelta(seconds=seconds), NOW) == expected
