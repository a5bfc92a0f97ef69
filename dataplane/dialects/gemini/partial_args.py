"""Arguments of a call that arrive value by value, each with the JSON path of where it goes."""

import re
from itertools import pairwise
from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import number_at, text_at

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\[\s*'((?:[^'\\]|\\.)*)'\s*\]|\[\s*\"((?:[^\"\\]|\\.)*)\"\s*\]")
_MAX_DEPTH = 64
_EXACT_INTEGER = 2**53


def add_partial(arguments: JsonObject, partial: JsonObject) -> None:
    """Puts the value of `partial` where its path says; text goes after the text that is there already.

    A path that cannot be followed is passed over.
    """
    path = _path(text_at(partial, "jsonPath"))
    if not path or not isinstance(path[0], str):
        return
    parent: Any = arguments
    for step, following in pairwise(path):
        parent = _descend(parent, step, [] if isinstance(following, int) else {})
    _put(parent, path[-1], _value(partial))


def _path(text: str) -> list[str | int]:
    """Names and positions that a path like $.a.b[0]['c'] goes through; [] when it is not one."""
    path: list[str | int] = []
    at = 1 if text.startswith("$") else len(text)
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or len(path) == _MAX_DEPTH:
            return []
        name, index, single, double = step.groups()
        path.append(int(index) if index is not None else next(n for n in (name, single, double) if n is not None))
        at = step.end()
    return path


def _descend(parent: Any, step: str | int, empty: Any) -> Any:
    """The object or list at `step`, made where there is none; None where `parent` has no such place."""
    if isinstance(parent, dict) and isinstance(step, str):
        return parent.setdefault(step, empty)
    if isinstance(parent, list) and isinstance(step, int) and step <= len(parent):
        if step == len(parent):
            parent.append(empty)
        return parent[step]
    return None


def _put(parent: Any, step: str | int, value: Any) -> None:
    if isinstance(parent, dict) and isinstance(step, str):
        before = parent.get(step)
        parent[step] = before + value if isinstance(before, str) and isinstance(value, str) else value
    elif isinstance(parent, list) and isinstance(step, int):
        if step < len(parent):
            before = parent[step]
            parent[step] = before + value if isinstance(before, str) and isinstance(value, str) else value
        elif step == len(parent):
            parent.append(value)


def _value(partial: JsonObject) -> Any:
    if "stringValue" in partial:
        return text_at(partial, "stringValue")
    if (number := number_at(partial, "numberValue")) is not None:
        return int(number) if abs(number) < _EXACT_INTEGER and number == int(number) else number
    return partial.get("boolValue") is True if "boolValue" in partial else None
