"""Filters are equalities joined by AND, and say what they do not understand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.dimensions import RECORD_DIMENSIONS, USAGE_DIMENSIONS
from controlplane.ledger.reading.filters import Condition, parse_filter


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", ()),
        ("  ", ()),
        ('team = "growth"', (Condition("team", "=", ("teams/growth",)),)),
        ("team=growth", (Condition("team", "=", ("teams/growth",)),)),
        ("team = 'teams/growth'", (Condition("team", "=", ("teams/growth",)),)),
        ('upstream = "openai"', (Condition("upstream", "=", ("upstreams/openai",)),)),
        ('model = "sim/echo"', (Condition("model", "=", ("sim/echo",)),)),
        ('key = "ci"', (Condition("key", "=", ("ci",)),)),
        ('key = "teams/a/keys/ci"', (Condition("key", "=", ("teams/a/keys/ci",)),)),
        ('upstream = ""', (Condition("upstream", "=", ("",)),)),
        (r'model = "a \"b\" \\"', (Condition("model", "=", (r'a "b" \ '.strip(),)),)),
        (
            ' team="a"  AND\nmodel="x AND y" ',
            (Condition("team", "=", ("teams/a",)), Condition("model", "=", ("x AND y",))),
        ),
        ('team != "a"', (Condition("team", "!=", ("teams/a",)),)),
        ('team IN ("a", teams/b)', (Condition("team", "IN", ("teams/a", "teams/b")),)),
        ('user = "u" AND route=r', (Condition("user", "=", ("u",)), Condition("route", "=", ("routes/r",)))),
        ('metadata.cost-center="x"', (Condition("metadata.cost-center", "=", ("x",)),)),
        ("metadata.a.b IN (\"x,y\", '(')", (Condition("metadata.a.b", "IN", ("x,y", "(")),)),
        ("team=a AND provider=sim", (Condition("team", "=", ("teams/a",)), Condition("provider", "=", ("sim",)))),
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
        ('team >= "a"', "knows only = != IN, not >="),
        ('team = ("a", "b")', 'team IN \\("A", "B"\\)'),
        ('team IN "a"', 'team IN \\("A", "B"\\)'),
        ("team IN ()", "cannot be read"),
        ('team IN ("a" "b")', "cannot be read"),
        ('team:"a"', "knows only ="),
        ('status = "4"', "team, user, key, model, route, provider, upstream, upstream_model, end_user, metadata.NAME"),
        ('metadata. = "a"', "metadata"),
        ('team = "a\0b"', "NUL"),
        ("team = " + "a" * 5000, "longer"),
    ],
)
def test_what_is_not_understood_is_told(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as caught:
        parse_filter(text, USAGE_DIMENSIONS)
    assert [violation.field for violation in caught.value.violations] == ["filter"]


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ('end_user = "u"', (Condition("end_user", "=", ("u",)),)),
        ("status >= 400 AND status<500", (Condition("status", ">=", ("400",)), Condition("status", "<", ("500",)))),
        ("state IN (estimated, partial)", (Condition("state", "IN", ("estimated", "partial")),)),
    ],
)
def test_records_know_more(text: str, conditions: tuple[Condition, ...]) -> None:
    assert parse_filter(text, RECORD_DIMENSIONS) == conditions


@pytest.mark.parametrize(("text", "problem"), [("status = x", "whole number"), ("state = gone", "reported, estimated")])
def test_values_that_cannot_be_are_told(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        parse_filter(text, RECORD_DIMENSIONS)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50))
def test_any_value_survives_quoting(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    [condition] = parse_filter(f'model = "{quoted}"', USAGE_DIMENSIONS)
    assert condition.values == (value,)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_filter(text, USAGE_DIMENSIONS)
    except InvalidArgument as error:
        assert error.violations
