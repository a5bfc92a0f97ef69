"""Request bodies: bounded in size, depth and width before anything looks at them."""

import re
from typing import Any

import orjson

from dataplane.call import JsonObject
from dataplane.errors import InvalidRequest

MAX_DEPTH = 64
MAX_VALUES = 200_000
LARGE_BODY_BYTES = 256 * 1024
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONG_DIGITS = re.compile(rb"\d{19}")
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{19,}+(?![.eE])")
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1
_MOST_DIGITS = 20
_SHOWN_CHARACTERS = 24


def parse_object(body: bytes) -> JsonObject:
    """The JSON object that `body` is.

    Raises InvalidRequest for anything else, for more than MAX_DEPTH levels or MAX_VALUES values, and for integers
    that do not fit 64 bits, which would lose digits on their way.
    """
    if _value_count(body) > MAX_VALUES and _value_count(_outside_strings(body)) > MAX_VALUES:
        raise InvalidRequest(f"The request body has more than {MAX_VALUES} values. Send less in one call.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The request body is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}.",
            code="invalid_json",
        ) from error
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_json")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.")
    if _LONG_DIGITS.search(body) is not None:
        _check_integers(_outside_strings(body))
    return value


def _value_count(text: bytes) -> int:
    """An upper bound of the values in `text`, close to their number where its strings are left out."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _outside_strings(body: bytes) -> bytes:
    return _STRING.sub(b"", body)


def _is_deeper(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [child for item in layer for child in _children(item)]
        if not layer:
            return False
    return any(isinstance(item, dict | list) for item in layer)


def _children(item: Any) -> list[Any]:
    values = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [value for value in values if isinstance(value, dict | list)]


def _check_integers(text: bytes) -> None:
    for found in _LONG_INTEGER.finditer(text):
        number = found.group().decode()
        digits = number.removeprefix("-")
        if len(digits) > _MOST_DIGITS or not _SMALLEST <= int(number) <= _LARGEST:
            raise InvalidRequest(f"The integer {number[:_SHOWN_CHARACTERS]} in the request body does not fit 64 bits.")
