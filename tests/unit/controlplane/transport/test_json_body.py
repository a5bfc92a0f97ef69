"""JSON is read strictly, and nothing that a client sends does more than raise InvalidArgument."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.transport.json_body import MAX_DEPTH, parse_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_json_can_say_is_read(value: object) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_invalid(body: bytes) -> None:
    try:
        parse_json(body)
    except InvalidArgument as error:
        assert error.message.startswith("the request body is not valid JSON: ")


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_an_empty_object(body: bytes) -> None:
    assert parse_json(body) == {}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"a": 1,}', "at line 1, column 9"),
        (b"{\n  'a': 1}", "at line 2, column 3"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1e999}', "a number is too large"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', '"c" is given twice in one object'),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"\\udfff": 1}', "lone surrogate"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"9" * 5000, "too many digits"),
        (b"[" * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
    ],
)
def test_what_is_refused_says_why(body: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_json(body)
    assert problem in caught.value.message


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
