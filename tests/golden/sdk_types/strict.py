"""A strict reading of the types of an SDK: what they do not say is not valid."""

import re
from collections.abc import Callable
from functools import cached_property
from inspect import Parameter, signature
from typing import Any, Final, NotRequired, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, SchemaValidator
from typing_extensions import TypedDict

_typed_dict: Final[Any] = TypedDict
"""TypedDict as what it is when a program runs: a function, of members that are known only then."""
_ANY: Final = {"type": "any"}
_ALIASES_ONLY: Final = {"validate_by_name": False, "validate_by_alias": True}
"""Members are known by the names that they have in JSON, and not by those that programs give them."""
_UNREAD: Final = frozenset(("metadata", "serialization", "missing", "extras_schema"))
"""Members of schemas that say how values are written, or what is taken beside the values that are declared."""
_NO_MEMBERS: Final = frozenset(("self", "request_options"))
_DISCRIMINATORS: Final = frozenset(("type", "role"))
_SCALARS: Final = frozenset(("str", "int", "float", "bool"))
_MEMBER: Final = re.compile(r"[a-z]\w*")
_MOST_PROBLEMS: Final = 12


class Strict:
    """Says whether JSON is a value of `annotation`: a model or TypedDict of an SDK, or a union of some.

    Members that are not declared are found, values of no known enumeration, and numbers that are told as text; models
    that would keep or ignore any member do not here.
    """

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def problems(self, value: Any) -> list[str]:
        """What is wrong with `value`, parsed JSON; [] where it is valid."""
        try:
            # As JSON, which has no bytes, dates and enumerations, and may tell them as text.
            self._validator.validate_json(orjson.dumps(value), strict=True)
        except ValidationError as error:
            return _told(error.errors(include_url=False, include_context=False))
        return []

    @cached_property
    def _validator(self) -> SchemaValidator:
        return SchemaValidator(_tightened(TypeAdapter(self._annotation).core_schema), _use_prebuilt=False)


def partial(declared: type, **more: Any) -> Any:
    """A TypedDict of `more` and of what `declared`, another one, has, of which nothing has to be there."""
    hints = {name: NotRequired[hint] for name, hint in get_type_hints(declared).items()}
    return _typed_dict("Partial", {**hints, **more})


def arguments_of(function: Callable[..., Any], **more: Any) -> Any:
    """A TypedDict of what `function` takes by name, and of `more`: an SDK makes an object of them."""
    hints = get_type_hints(function, include_extras=True)
    names = [name for name in signature(function).parameters if name not in _NO_MEMBERS]
    needed = {name for name in names if signature(function).parameters[name].default is Parameter.empty}
    members = {name: hints[name] if name in needed else NotRequired[hints[name]] for name in names}
    return _typed_dict("Arguments", {**members, **more})


def _told(problems: list[ErrorDetails]) -> list[str]:
    """`problems` in words: of alternatives only those that are meant, by the words that tell them apart."""
    others = [p["loc"][:-1] for p in problems if p["type"] == "literal_error" and p["loc"][-1] in _DISCRIMINATORS]
    meant = [p for p in problems if not any(p["loc"][: len(other)] == other for other in others)] or problems
    found = [(_place(problem["loc"]), _message(problem)) for problem in meant]
    deeper = [(place, message) for place, message in found if not any(p.startswith(f"{place}.") for p, _ in found)]
    return list(dict.fromkeys(f"{place}: {message}" for place, message in deeper))[:_MOST_PROBLEMS]


def _message(problem: ErrorDetails) -> str:
    """What is wrong; with the value, where it is none of an enumeration's."""
    message = problem["msg"]
    return f"{message}, not {problem['input']!r}" if problem["type"] == "literal_error" else message


def _place(location: tuple[int | str, ...]) -> str:
    """Where a problem is, without what pydantic calls the types on the way there."""
    steps = (step for step in location if isinstance(step, int) or (_MEMBER.fullmatch(step) and step not in _SCALARS))
    return ".".join(map(str, steps))


def _tightened(node: Any) -> Any:
    """A core schema, or a part of one, that takes only what its types declare."""
    if isinstance(node, list | tuple):
        return type(node)(_tightened(item) for item in node)
    if not isinstance(node, dict):
        return node
    if not isinstance(node.get("type"), str):
        return {name: _tightened(value) for name, value in node.items()}
    if node["type"] == "function-before":
        # These turn what they do not know into something that is valid.
        return _tightened(node["schema"])
    return _declared({name: _tightened(value) for name, value in node.items() if name not in _UNREAD})


def _declared(node: dict[str, Any]) -> dict[str, Any]:
    """A schema of one type, whose inner ones are tightened."""
    match node["type"]:
        case "typed-dict" | "model-fields":
            return {**node, "extra_behavior": "forbid"}
        case "model":
            return {**node, "config": {**node.get("config", {}), **_ALIASES_ONLY}}
        case "enum":
            # The class itself may make members of values that it does not know.
            return {**node, "type": "literal", "expected": [member.value for member in node["members"]]}
        case "union":
            # Enumerations may be written as unions of their values and of anything.
            return {**node, "choices": [choice for choice in node["choices"] if choice != _ANY] or node["choices"]}
        case "generator":
            # Items of this kind would be looked at only when they are asked for.
            return {**node, "type": "list"}
    return node
