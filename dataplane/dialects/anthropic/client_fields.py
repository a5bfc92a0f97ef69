"""Fields of a client's body in Anthropic's format: readers raise InvalidRequest, naming a field that is malformed."""

from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.client_errors import invalid


def marker_of(block: JsonObject) -> JsonObject:
    """The cache_control of `block`, as a member for what it becomes; {} without one."""
    marker = block.get("cache_control")
    return {} if marker is None else {"cache_control": marker}


def blocks_at(content: Any, param: str) -> list[tuple[str, JsonObject]]:
    """The blocks of content and where each stands; a string is one of text."""
    if isinstance(content, str):
        return [(param, {"type": "text", "text": content})]
    found = []
    for at, value in enumerate(items_at(content, param, "a string or a list of blocks")):
        block = object_at(value, f"{param}.{at}")
        text_at(block.get("type"), f"{param}.{at}.type")
        found.append((f"{param}.{at}", block))
    return found


def member(parent: JsonObject, name: str) -> JsonObject:
    """The object under `name`; {} without one."""
    return {} if parent.get(name) is None else object_at(parent[name], name)


def object_at(value: Any, param: str) -> JsonObject:
    """`value`, which must be an object."""
    if not isinstance(value, dict):
        raise invalid(param, "an object")
    return value


def items_at(value: Any, param: str, must_be: str = "a list") -> list[Any]:
    """`value`, which must be a list."""
    if not isinstance(value, list):
        raise invalid(param, must_be)
    return value


def text_at(value: Any, param: str) -> str:
    """`value`, which must be text."""
    if not isinstance(value, str):
        raise invalid(param, "a string")
    return value
