"""Which JSON schemas Bedrock can hold a model to; it refuses a call with any other one."""

from typing import Any, Final

from dataplane.dialects.claude import NAMED_SCHEMAS

_SCHEMAS: Final = ("items", "anyOf", "allOf")
_TAKEN: Final = frozenset(
    (
        *("type", "enum", "const", "title", "description", "required", "default", "$ref", "$schema"),
        *("additionalProperties", *_SCHEMAS, *NAMED_SCHEMAS),
    )
)


def is_constrainable(schema: Any) -> bool:
    """Whether every object in `schema` is closed, and nothing in it constrains values beyond their types."""
    pending = [schema]
    while pending:
        item = pending.pop()
        if not isinstance(item, dict) or not _TAKEN.issuperset(item):
            return False
        if _is_object(item.get("type")) and item.get("additionalProperties") is not False:
            return False
        for name in _SCHEMAS:
            children = item.get(name, [])
            pending += children if isinstance(children, list) else [children]
        for name in NAMED_SCHEMAS:
            named = item.get(name, {})
            if not isinstance(named, dict):
                return False
            pending += named.values()
    return True


def _is_object(kind: Any) -> bool:
    return kind == "object" or (isinstance(kind, list) and "object" in kind)
