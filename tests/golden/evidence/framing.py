"""How recorded streams are framed: server-sent events, and the binary events of AWS."""

import json
import struct
from typing import Any, NamedTuple

from tests.golden.evidence.types import JsonObject

_PRELUDE = struct.Struct(">III")
_CRC_BYTES = 4
_HEADER_STRING = 7


class Event(NamedTuple):
    """One server-sent event: its name, "" without one, and its data."""

    name: str
    data: str


def read_sse(body: bytes) -> list[Event]:
    """The events of `body`, also one at its end that no empty line follows; comments are none."""
    events: list[Event] = []
    name, data = "", list[str]()
    for line in [*body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]:
        if not line:
            if data:
                events.append(Event(name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return events


def read_sse_objects(body: bytes) -> list[JsonObject]:
    """The JSON objects of `body`, a stream of server-sent events, without its `[DONE]`."""
    return [json.loads(event.data) for event in read_sse(body) if event.data.strip() not in ("[DONE]", "")]


def read_aws_events(body: bytes) -> list[tuple[dict[str, str], Any]]:
    """Headers and JSON payload of each binary event of `body`."""
    events: list[tuple[dict[str, str], Any]] = []
    while body:
        total, header_bytes, _ = _PRELUDE.unpack_from(body)
        start = _PRELUDE.size + header_bytes
        payload = body[start : total - _CRC_BYTES]
        events.append((_aws_headers(body[_PRELUDE.size : start]), json.loads(payload) if payload else {}))
        body = body[total:]
    return events


def _aws_headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    while data:
        name_end = 1 + data[0]
        name, kind = data[1:name_end].decode(), data[name_end]
        assert kind == _HEADER_STRING, f"the header {name} is no string"
        length = int.from_bytes(data[name_end + 1 : name_end + 3], "big")
        value_end = name_end + 3 + length
        headers[name] = data[name_end + 3 : value_end].decode()
        data = data[value_end:]
    return headers
