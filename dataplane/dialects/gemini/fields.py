"""Members of JSON objects whose types nobody promises: each is of its type, or an empty one."""

from typing import Any

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.openai.payload import parse_payload


def object_at(parent: JsonObject, name: str) -> JsonObject:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def objects_at(parent: JsonObject, name: str) -> list[JsonObject]:
    """The objects in the list under `name`; whatever else is in it is left out."""
    value = parent.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_at(parent: JsonObject, name: str) -> str:
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def number_at(parent: JsonObject, name: str) -> float | None:
    value = parent.get(name)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def index_at(parent: JsonObject, name: str, default: int) -> int:
    """The number under `name` when it can count something, else `default`."""
    value: Any = parent.get(name)
    return value if type(value) is int and value >= 0 else default


def json_of(text: str) -> Any:
    """The JSON value that `text` is, None when it is none, or nested too deep to be written again."""
    try:
        value = parse_payload(text.encode())
        orjson.dumps(value)
    except (ValueError, TypeError):
        return None
    return value
