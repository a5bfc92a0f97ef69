"""Update masks (AIP-134): which fields of the given message replace those of the current one."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tollway.resources.messages import AdminResource, is_spec_field
from tollway.resources.violations import Violation

EVERYTHING = "*"
# Set or cleared as a whole: a value and a reference exclude each other.
_WHOLE_FIELDS = frozenset({"secret"})


def merge_update(
    current: AdminResource, given: AdminResource, paths: Sequence[str]
) -> tuple[AdminResource, list[Violation]]:
    """`current` with the fields of `given` that `paths` name; without paths, with those that are set."""
    merged = type(current)()
    merged.CopyFrom(current)  # type: ignore[arg-type]
    violations: list[Violation] = []
    if list(paths) == [EVERYTHING]:
        for field in _spec_fields(merged):
            _replace(merged, given, field)
        return merged, violations
    for path in paths or [field.name for field, _ in given.ListFields() if is_spec_field(field)]:
        problem = _merge_path(merged, given, path)
        if problem:
            violations.append(Violation("update_mask", f'"{path}": {problem}'))
    return merged, violations


def _merge_path(target: Message, source: Message, path: str) -> str | None:
    """Takes one path over; returns what is wrong with it."""
    first, _, rest = path.partition(".")
    field = _fields(target).get(first)
    if path == EVERYTHING:
        return "stands for all fields and must be the only path"
    if field is None:
        return f"no such field; {target.DESCRIPTOR.name} has {', '.join(_fields(target))}"
    if not rest or first in _WHOLE_FIELDS:
        if not _is_resource(target) or is_spec_field(field):
            _replace(target, source, field)
        return None
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _merge_map_entry(getattr(target, first), getattr(source, first), rest)
        return None
    if field.is_repeated or field.message_type is None:
        return f"{first} has no fields to name; write {first} alone"
    return _merge_path(getattr(target, first), getattr(source, first), rest)


def _merge_map_entry(target: Any, source: Any, key: str) -> None:
    target.pop(key, None)
    if key in source:
        _put_entry(target, source, key)


def _put_entry(target: Any, source: Any, key: str) -> None:
    if isinstance(source[key], Message):
        target[key].CopyFrom(source[key])
    else:
        target[key] = source[key]


def _replace(target: Message, source: Message, field: FieldDescriptor) -> None:
    target.ClearField(field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key in getattr(source, field.name):
            _put_entry(getattr(target, field.name), getattr(source, field.name), key)
    elif field.is_repeated:
        getattr(target, field.name).extend(getattr(source, field.name))
    elif field.message_type is not None:
        if source.HasField(field.name):
            getattr(target, field.name).CopyFrom(getattr(source, field.name))
    elif not field.has_presence or source.HasField(field.name):
        setattr(target, field.name, getattr(source, field.name))


def _fields(message: Message) -> dict[str, FieldDescriptor]:
    return {field.name: field for field in cast(Descriptor, message.DESCRIPTOR).fields}


def _spec_fields(message: Message) -> Iterator[FieldDescriptor]:
    return (field for field in _fields(message).values() if is_spec_field(field))


def _is_resource(message: Message) -> bool:
    return "uid" in _fields(message)
