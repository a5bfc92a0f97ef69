"""Page sizes and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.resources.paging import make_page_token, page_limit, read_page_token


@pytest.mark.parametrize(("size", "limit"), [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)])
def test_sizes_are_bounded(size: int, limit: int) -> None:
    assert page_limit(size) == limit


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="page_size"):
        page_limit(-1)


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1))
def test_a_token_says_where_to_go_on(after: str) -> None:
    assert read_page_token("Team:", make_page_token("Team:", after)) == after


def test_no_token_is_the_beginning() -> None:
    assert read_page_token("Team:", "") == ""


def test_a_token_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        read_page_token("Route:", make_page_token("Team:", "teams/a"))


@given(st.text(min_size=1))
def test_other_texts_are_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        read_page_token("Team:", token)
