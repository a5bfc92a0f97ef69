"""Filters of lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit.filters import parse_filter
from controlplane.errors import InvalidArgument

FIELDS = ("resource", "principal")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("  ", {}),
        ('resource = "teams/a"', {"resource": "teams/a"}),
        ("resource=teams/a", {"resource": "teams/a"}),
        ('resource = "teams/a" AND principal="x y"', {"resource": "teams/a", "principal": "x y"}),
        ('principal = ""', {"principal": ""}),
    ],
)
def test_equalities_joined_by_and(text: str, found: dict[str, str]) -> None:
    assert parse_filter(text, FIELDS) == found


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "resource",
        'resource = "a',
        'resource = "a" OR principal = "b"',
        'resource = "a" AND',
        'resource = "a" AND resource = "b"',
        "resource > 1",
        'resource = "a\x00"',
        "resource = " + "x" * 2000,
    ],
)
def test_anything_else_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r'write `resource = "value"`, joined by AND'):
        parse_filter(text, FIELDS)


@given(st.text())
def test_no_text_does_anything_else(text: str) -> None:
    try:
        assert set(parse_filter(text, FIELDS)) <= set(FIELDS)
    except InvalidArgument as error:
        assert error.violations[0].field == "filter"
