"""What clients say about a call in headers, as ledger and counters can hold it."""

import pytest

from dataplane.errors import InvalidRequest
from dataplane.ingress.labels import parse_metadata, parse_user


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert parse_user("caf\udce9\udcff") == "caf\ufffd\ufffd"
    assert parse_user("café 日本") == "café 日本"


@pytest.mark.parametrize("header", ['{"a": "x\\u0000"}', '{"a\\u0007": "x"}', '{"a": 5}', "[1]", "{"])
def test_metadata_that_cannot_be_kept_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest, match="x-tollway-metadata"):
        parse_metadata(header)


def test_a_user_with_control_characters_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="control characters"):
        parse_user("ann\x7f")
