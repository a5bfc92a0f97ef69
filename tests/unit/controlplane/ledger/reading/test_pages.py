"""Page tokens say what they were given, to their own query only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.pages import page_size_of, query_fingerprint, read_page_token, write_page_token


@given(st.lists(st.one_of(st.integers(-(2**53), 2**53), st.text(st.characters(exclude_categories=["Cs"])))))
def test_positions_survive(position: list[object]) -> None:
    fingerprint = query_fingerprint("a", 1)
    assert read_page_token(write_page_token(fingerprint, position), fingerprint) == position


def test_another_query_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        read_page_token(write_page_token(query_fingerprint("a"), []), query_fingerprint("b"))


def test_sizes_are_bounded() -> None:
    assert [page_size_of(n, default=50, maximum=500) for n in (0, 1, 500, 501, 2**31 - 1)] == [50, 1, 500, 500, 500]
    with pytest.raises(InvalidArgument):
        page_size_of(-1, default=50, maximum=500)
