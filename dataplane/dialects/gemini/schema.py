"""JSON schemas as Gemini takes them in parametersJsonSchema and responseJsonSchema."""

from typing import Any

from dataplane.call import JsonObject

_MAX_DEPTH = 64
_UNKNOWN = frozenset(("$schema", "discriminator", "examples", "exclusiveMinimum", "exclusiveMaximum", "const"))
_OF_NAMES = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_NESTED = frozenset(
    ("items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf", "not", "if", "then", "else")
)
_FORMATS = frozenset(("date-time", "date", "time", "enum"))
_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int, "integer"),
    (float, "number"),
)


def render_schema(schema: JsonObject) -> JsonObject:
    """`schema` without the words that Gemini does not know; what they say is kept where another way says it.

    A constant becomes the only value of an enum, an exclusive bound of integers the next whole number, and a format
    of strings a word in the description.
    """
    return _schema(schema, 0)


def _schema(schema: JsonObject, depth: int) -> JsonObject:
    if depth > _MAX_DEPTH:
        return schema
    rendered: JsonObject = {}
    for word, value in schema.items():
        if word in _OF_NAMES and isinstance(value, dict):
            rendered[word] = {name: _value(child, depth) for name, child in value.items()}
        elif word in _NESTED:
            rendered[word] = _value(value, depth)
        elif word not in _UNKNOWN:
            rendered[word] = value
    if _has_foreign_format(rendered):
        rendered["description"] = _description(rendered.get("description"), rendered.pop("format"))
    return rendered | _constant(schema) | _bounds(schema)


def _value(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return _schema(value, depth + 1)
    if isinstance(value, list):
        return [_value(item, depth + 1) for item in value] if depth <= _MAX_DEPTH else value
    return value


def _constant(schema: JsonObject) -> JsonObject:
    if "const" not in schema:
        return {}
    constant = schema["const"]
    named = next((name for kind, name in _JSON_TYPES if isinstance(constant, kind)), None)
    typed = {"type": named} if named and "type" not in schema else {}
    return typed | {"enum": [constant]}


def _bounds(schema: JsonObject) -> JsonObject:
    if schema.get("type") != "integer":
        return {}
    bounds = {}
    for word, exclusive, step in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        bound = schema.get(exclusive)
        if type(bound) is int and word not in schema:
            bounds[word] = bound + step
    return bounds


def _has_foreign_format(schema: JsonObject) -> bool:
    named = schema.get("format")
    return schema.get("type") == "string" and isinstance(named, str) and named not in _FORMATS


def _description(described: Any, named: str) -> str:
    return f"{described} (format: {named})" if isinstance(described, str) else f"Format: {named}"
