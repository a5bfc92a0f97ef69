"""JSON-like values into messages, strictly: every unknown field and wrong type is reported, none is guessed at.

Names are accepted in snake_case and camelCase, enums as short words and full names, integers also as decimal strings,
durations as "60s" or "1h", times as RFC 3339, bytes as base64; null is the same as absent.
"""

import base64
import binascii
import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.timestamp_pb2 import Timestamp

from tollway.resources.messages import enum_number, enum_words, is_output_only
from tollway.resources.providers import nearest_option
from tollway.resources.spelling import MAX_GUESSES, nearest
from tollway.resources.violations import Violation, join_path, listed

FieldFilter = Callable[[FieldDescriptor], bool]
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_DURATION = "google.protobuf.Duration"
_LONG_DURATION = re.compile(r"([0-9]{1,12})([mhd])")
_UNIT_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
_TIMESTAMP = "google.protobuf.Timestamp"
_STRUCT = "google.protobuf.Struct"
_LIST_VALUE = "google.protobuf.ListValue"


class _WrongValue(Exception):
    """A value that its field cannot take; the message says what it must be."""


def is_input(field: FieldDescriptor) -> bool:
    return not is_output_only(field)


class _UnknownFields:
    """What is said of fields that there are not: of the first few of all that is read, also what was meant."""

    def __init__(self) -> None:
        self._guesses = MAX_GUESSES

    def problem(self, name: str, message: Message, fields: Iterable[FieldDescriptor]) -> str:
        """What is wrong with `name`, which is none of the `fields` of `message`."""
        known = list(dict.fromkeys(field.name for field in fields))
        has = f"{message.DESCRIPTOR.name} has {', '.join(known)}"
        if not self._guesses:
            return f"unknown field; {has}"
        self._guesses -= 1
        meant = nearest(name, known)
        option = nearest_option(name) if "options" in known else ""
        if option and (option == name or not meant):
            return f"is an option of some providers; write it in `options`: {{{option}: ...}}"
        return f'unknown field; did you mean "{meant}"? {has}' if meant else f"unknown field; {has}"


def read_message(data: object, message: Message, path: str = "", accepts: FieldFilter = is_input) -> list[Violation]:
    """Sets fields of `message` from `data` and returns what was wrong; `accepts` says which top-level fields exist.

    Where much is wrong, the first of it and how much more there is.
    """
    return listed(_read(data, message, path, accepts, _UnknownFields()), path)


def _read(data: object, message: Message, path: str, accepts: FieldFilter, unknown: _UnknownFields) -> list[Violation]:
    if not isinstance(data, Mapping):
        return [Violation(path, f"must be an object, not {_kind_of(data)}")]
    fields = _fields_by_spelling(message, accepts)
    violations: list[Violation] = []
    seen: set[str] = set()
    chosen: dict[str, str] = {}
    for key, value in data.items():
        field = fields.get(str(key))
        if field is None:
            violations.append(Violation(join_path(path, str(key)), unknown.problem(str(key), message, fields.values())))
        elif field.name in seen:
            violations.append(Violation(join_path(path, field.name), "is given twice"))
        elif value is not None:
            seen.add(field.name)
            if field.containing_oneof is not None:
                other = chosen.setdefault(field.containing_oneof.name, field.name)
                if other != field.name:
                    violations.append(Violation(join_path(path, field.name), f"cannot be given together with {other}"))
            violations += _read_field(message, field, value, join_path(path, field.name), unknown)
    return violations


def _fields_by_spelling(message: Message, accepts: FieldFilter) -> dict[str, FieldDescriptor]:
    fields = (field for field in cast(Descriptor, message.DESCRIPTOR).fields if accepts(field))
    return {name: field for field in fields for name in (field.name, field.json_name)}


def _read_field(
    message: Message, field: FieldDescriptor, value: object, path: str, unknown: _UnknownFields
) -> list[Violation]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _read_map(message, field, value, path, unknown)
    if field.is_repeated:
        return _read_list(message, field, value, path, unknown)
    if field.message_type is not None:
        return _read_submessage(getattr(message, field.name), value, path, unknown)
    try:
        setattr(message, field.name, _scalar(field, value))
    except _WrongValue as error:
        return [Violation(path, str(error))]
    return []


def _read_submessage(target: Message, value: object, path: str, unknown: _UnknownFields) -> list[Violation]:
    name = target.DESCRIPTOR.full_name
    if name == _DURATION:
        return _read_duration(cast(Duration, target), value, path)
    if name == _TIMESTAMP:
        return _read_timestamp(cast(Timestamp, target), value, path)
    if name == _STRUCT:
        return _read_struct(cast(Struct, target), value, path)
    if name == _LIST_VALUE:
        return _read_texts(cast(ListValue, target), value, path)
    target.SetInParent()
    return _read(value, target, path, _is_field, unknown)


def _is_field(_: FieldDescriptor) -> bool:
    # Below the top level what only the server sets is ignored by the handlers, so that what was read can be sent back.
    return True


def _read_struct(target: Struct, value: object, path: str) -> list[Violation]:
    if not isinstance(value, Mapping):
        return [Violation(path, f"must be an object, not {_kind_of(value)}")]
    try:
        target.update(dict(value))
    except (ValueError, TypeError):
        return [Violation(path, "must hold only what JSON can")]
    target.SetInParent()
    return []


def _read_texts(target: ListValue, value: object, path: str) -> list[Violation]:
    """Lists of free form hold texts only."""
    if not isinstance(value, list):
        return [Violation(path, f"must be a list, not {_kind_of(value)}")]
    violations = []
    for index, item in enumerate(value):
        try:
            target.append(_text(item))
        except _WrongValue as error:
            violations.append(Violation(f"{path}[{index}]", str(error)))
    return violations


def _read_duration(target: Duration, value: object, path: str) -> list[Violation]:
    try:
        target.FromJsonString(_in_seconds(_text(value)))
    except (ValueError, _WrongValue):
        return [Violation(path, 'must be a duration such as "60s", "0.5s", "15m" or "1h"')]
    target.SetInParent()
    return []


def _in_seconds(text: str) -> str:
    match = _LONG_DURATION.fullmatch(text)
    return f"{int(match[1]) * _UNIT_SECONDS[match[2]]}s" if match else text


def _read_timestamp(target: Timestamp, value: object, path: str) -> list[Violation]:
    try:
        if isinstance(value, datetime.datetime):
            target.FromDatetime(value)
        else:
            target.FromJsonString(_text(value))
    except (ValueError, _WrongValue):
        return [Violation(path, 'must be a time in RFC 3339 such as "2030-01-31T00:00:00Z"')]
    target.SetInParent()
    return []


def _read_list(
    message: Message, field: FieldDescriptor, value: object, path: str, unknown: _UnknownFields
) -> list[Violation]:
    if not isinstance(value, list):
        return [Violation(path, f"must be a list, not {_kind_of(value)}")]
    target = getattr(message, field.name)
    violations: list[Violation] = []
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        if field.message_type is not None:
            violations += _read_submessage(target.add(), item, here, unknown)
            continue
        try:
            target.append(_scalar(field, item))
        except _WrongValue as error:
            violations.append(Violation(here, str(error)))
    return violations


def _read_map(
    message: Message, field: FieldDescriptor, value: object, path: str, unknown: _UnknownFields
) -> list[Violation]:
    if not isinstance(value, Mapping):
        return [Violation(path, f"must be an object, not {_kind_of(value)}")]
    entry = cast(Descriptor, field.message_type)
    target = getattr(message, field.name)
    violations: list[Violation] = []
    for key, item in value.items():
        here = join_path(path, str(key))
        try:
            name = _scalar(entry.fields_by_name["key"], key)
            if entry.fields_by_name["value"].message_type is not None:
                violations += _read_submessage(target[name], item, here, unknown)
            else:
                target[name] = _scalar(entry.fields_by_name["value"], item)
        except _WrongValue as error:
            violations.append(Violation(here, str(error)))
    return violations


def _scalar(field: FieldDescriptor, value: object) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _bytes(value) if field.type == FieldDescriptor.TYPE_BYTES else _text(value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _boolean(value)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field, value)
    if kind in _INTEGERS:
        return _integer(value, 32 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64)
    raise _WrongValue("cannot be given here")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongValue(f"must be a string, not {_kind_of(value)}; put it in quotes")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise _WrongValue("is not valid Unicode text")
    return value


def _bytes(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError):
        raise _WrongValue("must be base64") from None


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongValue(f"must be true or false, not {_kind_of(value)}")
    return value


def _integer(value: object, bits: int) -> int:
    number: object = value
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and value.removeprefix("-").isdecimal():
        number = int(value[:32])
    if isinstance(number, bool) or not isinstance(number, int):
        shown = value if isinstance(value, float) else _kind_of(value)
        raise _WrongValue(f"must be a whole number, not {shown}")
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise _WrongValue(f"does not fit {bits} bits")
    return number


def _enum(field: FieldDescriptor, value: object) -> int:
    enum = field.enum_type
    assert enum is not None
    number = enum_number(enum, _text(value))
    if number is None:
        raise _WrongValue(f'"{value}" is not one of {", ".join(enum_words(enum))}')
    return number


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"
