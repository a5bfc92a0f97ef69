"""REST requests into messages: path variables, query parameters and the body, as google.api.http lays them out. Pure.

Names are accepted in snake_case and camelCase, and fields that only the server sets are accepted and left to the
handlers, so that what was read can be sent back. InvalidArgument carries all violations of a request.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.errors import InvalidArgument
from controlplane.transport.json_body import parse_json
from controlplane.transport.methods import AdminMethod, HttpRule
from tollway.resources.messages import enum_words
from tollway.resources.reading import read_message
from tollway.resources.violations import Violation

_BOOLEANS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
_QUERY_MESSAGES = frozenset(
    {"google.protobuf.FieldMask", "google.protobuf.Timestamp", "google.protobuf.Duration"},
)
_NUL = "\x00"
_HAS_NUL = "must not contain a NUL character"
_Unsound = tuple[str, str]
"""A field's path, and what is wrong with its value."""


def read_request(
    method: AdminMethod, rule: HttpRule, path: Sequence[str], query: Iterable[tuple[str, str]], body: bytes
) -> Message:
    """The request message of one HTTP request; `path` holds the values of the template's variables in order."""
    request = method.request_class()
    violations = _read_body(request, rule, body)
    violations += _read_query(request, rule, query)
    for variable, value in zip(rule.template.variables, path, strict=True):
        violations += _set_path_variable(request, variable.field, value)
    if violations:
        raise InvalidArgument(violations)
    return request


def require_sound_values(request: Message) -> None:
    """InvalidArgument when `request` holds what gRPC lets pass and nothing behind it can keep.

    That is text with a NUL, times and durations out of their range, numbers that JSON has not, and unknown enum values.
    """
    violations = [Violation(path, problem) for path, problem in _unsound_values(request, "")]
    if violations:
        raise InvalidArgument(violations)


def _read_body(request: Message, rule: HttpRule, body: bytes) -> list[Violation]:
    if not rule.body:
        return []
    value = parse_json(body)
    if rule.body == "*":
        return _read_object(value, request, "")
    target = getattr(request, rule.body)
    target.SetInParent()
    return _read_object(value, target, rule.body)


def _read_object(value: object, target: Message, path: str) -> list[Violation]:
    return read_message(value, target, path, _any_field)


def _any_field(_: FieldDescriptor) -> bool:
    return True


def _read_query(request: Message, rule: HttpRule, query: Iterable[tuple[str, str]]) -> list[Violation]:
    descriptor = cast(Descriptor, request.DESCRIPTOR)
    fields = query_fields(descriptor, rule)
    by_spelling = {name: field for field in fields for name in (field.name, field.json_name)}
    given: dict[str, list[str]] = {}
    violations = []
    for name, text in query:
        field = by_spelling.get(name)
        if field is None:
            valid = ", ".join(each.name for each in fields) or "none"
            violations.append(Violation(name, f"unknown query parameter; valid here: {valid}"))
        else:
            given.setdefault(field.name, []).append(text)
    for name, texts in given.items():
        violations += _read_parameter(request, rule, descriptor.fields_by_name[name], texts)
    return violations


def query_fields(request: Descriptor, rule: HttpRule) -> list[FieldDescriptor]:
    """The fields of a request that its query parameters may set."""
    taken = {variable.field.partition(".")[0] for variable in rule.template.variables} | {rule.body}
    return [
        field
        for field in request.fields
        if field.name not in taken
        and (field.message_type is None or (not field.is_repeated and field.message_type.full_name in _QUERY_MESSAGES))
    ]


def _read_parameter(request: Message, rule: HttpRule, field: FieldDescriptor, texts: list[str]) -> list[Violation]:
    if field.is_repeated:
        parts = [part.strip() for text in texts for part in text.split(",")]
        return _read_object({field.name: [_query_value(field, part) for part in parts if part]}, request, "")
    if field.message_type is not None and field.message_type.full_name == FieldMask.DESCRIPTOR.full_name:
        getattr(request, field.name).paths.extend(_mask_paths(cast(Descriptor, request.DESCRIPTOR), rule, texts))
        return []
    if len(texts) > 1:
        return [Violation(field.name, "is given more than once")]
    if not texts[0] and field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
        return []
    return _read_object({field.name: _query_value(field, texts[0])}, request, "")


def _query_value(field: FieldDescriptor, text: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _BOOLEANS.get(text.lower(), text)
    return text


def _mask_paths(request: Descriptor, rule: HttpRule, texts: Iterable[str]) -> list[str]:
    resource = request.fields_by_name[rule.body].message_type if rule.body in request.fields_by_name else None
    paths = (path.strip() for text in texts for path in text.split(","))
    return [_snake_path(path, resource) for path in paths if path]


def _snake_path(path: str, resource: Descriptor | None) -> str:
    """`path` with every field that `resource` knows by its camelCase name put by its own; map keys stay as they are."""
    segments = []
    message = resource
    for segment in path.split("."):
        field = None
        if message is not None:
            field = next((each for each in message.fields if segment in (each.name, each.json_name)), None)
        segments.append(segment if field is None else field.name)
        message = None if field is None else field.message_type
    return ".".join(segments)


def _set_path_variable(request: Message, field_path: str, value: str) -> list[Violation]:
    owner, _, name = field_path.rpartition(".")
    target = request
    for part in owner.split(".") if owner else ():
        target = getattr(target, part)
    in_body = getattr(target, name)
    if in_body and in_body != value:
        return [
            Violation(field_path, f'is "{in_body}" in the body and "{value}" in the path; leave it out of the body')
        ]
    if re.search(r"[\ud800-\udfff]", value):
        return [Violation(field_path, "is not valid UTF-8")]
    setattr(target, name, value)
    return []


def _unsound_values(message: Message, path: str) -> Iterator[_Unsound]:
    for field, value in message.ListFields():
        here = f"{path}.{field.name}" if path else field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _unsound_entries(field.message_type.fields_by_name["value"], value, here)
        elif not field.is_repeated:
            yield from _unsound_value(field, value, here)
        else:
            for index, item in enumerate(value):
                yield from _unsound_value(field, item, f"{here}[{index}]")


def _unsound_entries(field: FieldDescriptor, entries: Mapping[Any, Any], path: str) -> Iterator[_Unsound]:
    for key, value in entries.items():
        if _NUL in str(key):
            yield path, _HAS_NUL
        yield from _unsound_value(field, value, f"{path}.{str(key).replace(_NUL, '')}")


def _unsound_value(field: FieldDescriptor, value: object, path: str) -> Iterator[_Unsound]:
    if isinstance(value, str):
        if _NUL in value:
            yield path, _HAS_NUL
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, "must be a finite number"
    elif field.enum_type is not None:
        if value not in field.enum_type.values_by_number:
            yield path, f"{value} is not one of {', '.join(enum_words(field.enum_type))}"
    elif isinstance(value, Timestamp | Duration):
        yield from _unsound_moment(value, path)
    elif isinstance(value, Message):
        yield from _unsound_values(value, path)


def _unsound_moment(value: Timestamp | Duration, path: str) -> Iterator[_Unsound]:
    try:
        value.ToJsonString()
    except ValueError:
        yield path, "is out of range"
