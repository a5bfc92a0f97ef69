"""Filters are equalities joined by AND, and say what they do not understand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.filters import RECORD_DIMENSIONS, USAGE_DIMENSIONS, Condition, parse_filter


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", ()),
        ("  ", ()),
        ('team = "growth"', (Condition("team", "teams/growth"),)),
        ("team=growth", (Condition("team", "teams/growth"),)),
        ("team = 'teams/growth'", (Condition("team", "teams/growth"),)),
        ('upstream = "openai"', (Condition("upstream", "upstreams/openai"),)),
        ('model = "sim/echo"', (Condition("model", "sim/echo"),)),
        ('key = "ci"', (Condition("key", "ci"),)),
        ('key = "teams/a/keys/ci"', (Condition("key", "teams/a/keys/ci"),)),
        ('upstream = ""', (Condition("upstream", ""),)),
        (r'model = "a \"b\" \\"', (Condition("model", r'a "b" \ '.strip()),)),
        (
            ' team="a"  AND\nmodel="x AND y" ',
            (Condition("team", "teams/a"), Condition("model", "x AND y")),
        ),
        ("team=a AND provider=sim", (Condition("team", "teams/a"), Condition("provider", "sim"))),
    ],
)
def test_conditions(text: str, conditions: tuple[Condition, ...]) -> None:
    assert parse_filter(text, USAGE_DIMENSIONS) == conditions


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("team", "cannot be read"),
        ("team =", "cannot be read"),
        ('team = "a', "cannot be read"),
        ('= "a"', "cannot be read"),
        ('team = "a" AND', "expects AND|cannot be read"),
        ('team = "a" OR team = "b"', "expects AND"),
        ('team = "a" model = "b"', "expects AND"),
        ('(team = "a")', "cannot be read"),
        ('NOT team = "a"', "cannot be read"),
        ('team != "a"', "knows only ="),
        ('team:"a"', "knows only ="),
        ('user = "a"', "team, key, model, upstream, upstream_model, provider"),
        ('metadata.app = "a"', "metadata.app"),
        ('team = "a\0b"', "NUL"),
        ("team = " + "a" * 3000, "longer"),
    ],
)
def test_what_is_not_understood_is_told(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as caught:
        parse_filter(text, USAGE_DIMENSIONS)
    assert [violation.field for violation in caught.value.violations] == ["filter"]


def test_records_know_the_end_user_too() -> None:
    assert parse_filter('end_user = "u"', RECORD_DIMENSIONS) == (Condition("end_user", "u"),)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50))
def test_any_value_survives_quoting(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    [condition] = parse_filter(f'model = "{quoted}"', USAGE_DIMENSIONS)
    assert condition.value == value


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_filter(text, USAGE_DIMENSIONS)
    except InvalidArgument as error:
        assert error.violations
