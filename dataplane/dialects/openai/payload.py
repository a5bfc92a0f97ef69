"""JSON as providers send it: well-formed, but for halves of surrogate pairs that some leave in their escapes."""

import re
from typing import Any

import orjson

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF_BYTES = 6
_SHOWN_CHARACTERS = 2000
_REPLACEMENT = rb"\ufffd"


def parse_payload(data: bytes) -> Any:
    """The value of `data`, with U+FFFD for each half of a surrogate pair. Raises ValueError when it is not JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if _SURROGATE.search(data) is None:
            raise
    return orjson.loads(_ESCAPE.sub(_whole, data))


def payload_or_text(data: bytes) -> Any:
    """The value of `data`, an error's body; its first characters where it is text and no JSON, None for neither."""
    try:
        return parse_payload(data)
    except ValueError:
        text = data[:_SHOWN_CHARACTERS].decode("utf-8", "ignore")
        return text if "".join(text.split()).isprintable() else None


def _whole(escape: re.Match[bytes]) -> bytes:
    text = escape.group()
    return _REPLACEMENT if len(text) == _HALF_BYTES else text
