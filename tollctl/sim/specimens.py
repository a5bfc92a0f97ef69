"""Specimens: the same valid JSON value for the same JSON schema, every time."""

from typing import Any

_DEPTH_MAX = 8


def make_specimen(schema: Any, name: str = "value") -> Any:
    """A value that fits the schema's types, enumerations and fields; a string is `name`, which is its field's name."""
    return _make(schema, name, schema if isinstance(schema, dict) else {}, 0)


def _make(schema: Any, name: str, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return name
    schema = _resolve(schema, root)
    for chosen in ("const", "default"):
        if chosen in schema:
            return schema[chosen]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(choice), list) and schema[choice]:
            return _make(schema[choice][0], name, root, depth + 1)
    return _make_typed(schema, name, root, depth)


def _make_typed(schema: dict[str, Any], name: str, root: dict[str, Any], depth: int) -> Any:
    match _name_type(schema):
        case "object":
            fields = schema.get("properties")
            fields = fields if isinstance(fields, dict) else {}
            return {field: _make(fields[field], field, root, depth + 1) for field in fields}
        case "array":
            return [_make(schema.get("items"), name, root, depth + 1)]
        case "integer":
            return schema.get("minimum", 1)
        case "number":
            return schema.get("minimum", 1.5)
        case "boolean":
            return True
        case "null":
            return None
    return name


def _name_type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return kind if isinstance(kind, str) else "string"


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    found: Any = root
    for part in reference[2:].split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
