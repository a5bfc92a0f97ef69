"""The gate that request bodies pass."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import InvalidRequest
from dataplane.ingress.json_gate import MAX_DEPTH, MAX_VALUES, parse_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON))
def test_object_passes_with_its_values(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "," * (MAX_VALUES + 10),
        '[{,"' * MAX_VALUES,
        "\\" * 100_000 + "," * (MAX_VALUES + 10),
        "123456789012345678901234567890",
        '"-99999999999999999999999 \\',
    ],
)
def test_text_is_no_structure(text: str) -> None:
    assert parse_object(json.dumps({"a": text}).encode()) == {"a": text}


@pytest.mark.parametrize("values", [b"0," * MAX_VALUES + b"0", b"[]," * MAX_VALUES + b"0"])
def test_too_many_values(values: bytes) -> None:
    with pytest.raises(InvalidRequest, match="values"):
        parse_object(b'{"a":[' + values + b"]}")


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "1" * 300, "[1,2, 99999999999999999999 ]"]
)
def test_integer_beyond_64_bits(number: str) -> None:
    with pytest.raises(InvalidRequest, match="64 bits"):
        parse_object(f'{{"s":"x","n":{number}}}'.encode())


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "0.12345678901234567890123", "12345678901234567890123.5"]
)
def test_number_that_fits(number: str) -> None:
    assert parse_object(f'{{"n":{number}}}'.encode()) == {"n": json.loads(number)}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b'{"a":NaN}', b'{"a":"\\ud800"}'])
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body)
    assert caught.value.error_code == "invalid_json"


def test_depth() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' + b"[" * levels + b"]" * levels + b"}"

    assert parse_object(nested(MAX_DEPTH - 1))
    with pytest.raises(InvalidRequest, match="deeper"):
        parse_object(nested(MAX_DEPTH))


@pytest.mark.parametrize("piece", [b'"\\', b'",', b'\\",', b'"a\\",'])
def test_malformed_text_takes_linear_time(piece: bytes) -> None:
    body = b'{"a":"' + b"," * (MAX_VALUES + 1) + piece * 500_000
    began_s = time.process_time()
    with pytest.raises(InvalidRequest):
        parse_object(body)
    assert time.process_time() - began_s < 2.0
