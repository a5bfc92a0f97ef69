"""JSON schemas as Anthropic's constrained output takes them: closed objects, and few other constraints."""

from typing import Any, Final

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.claude import NAMED_SCHEMAS

_SCHEMAS: Final = ("anyOf", "allOf")
_KEPT: Final = frozenset(("type", "enum", "const", "title", "description", "required", "default", "$ref"))
_FORMATS: Final = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_MOST_MIN_ITEMS: Final = 1


def is_closable(schema: Any) -> bool:
    """Whether no object in `schema` is said to take further members: closing it takes nothing away."""
    if isinstance(schema, list):
        return all(is_closable(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("additionalProperties") not in (None, False) or "patternProperties" in schema:
        return False
    if schema.get("type") == "object" and "properties" not in schema:
        return False
    named = [value for name in NAMED_SCHEMAS for value in _children(schema.get(name))]
    return all(is_closable(schema.get(name)) for name in (*_SCHEMAS, "oneOf", "items")) and is_closable(named)


def closed_schema(schema: Any) -> Any:
    """`schema` with every object closed, and with constraints that are not taken told in its description."""
    if not isinstance(schema, dict):
        return schema
    closed: JsonObject = {}
    told: JsonObject = {}
    for name, value in schema.items():
        if name in NAMED_SCHEMAS and isinstance(value, dict):
            closed[name] = {key: closed_schema(child) for key, child in value.items()}
        elif name in _SCHEMAS and isinstance(value, list):
            closed[name] = [closed_schema(child) for child in value]
        elif name == "oneOf" and isinstance(value, list):
            closed["anyOf"] = [closed_schema(child) for child in value]
        elif name == "items":
            closed[name] = closed_schema(value)
        elif _is_taken(name, value):
            closed[name] = value
        elif name not in ("additionalProperties", "$schema", "$id"):
            told[name] = value
    if closed.get("type") == "object" or "properties" in closed:
        closed["additionalProperties"] = False
    if told:
        closed["description"] = f"{closed.get('description') or ''}\n\n{orjson.dumps(told).decode()}".lstrip()
    return closed


def _is_taken(name: str, value: Any) -> bool:
    if name == "format":
        return isinstance(value, str) and value in _FORMATS
    if name == "minItems":
        return isinstance(value, int) and value <= _MOST_MIN_ITEMS
    return name in _KEPT


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []
