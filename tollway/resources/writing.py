"""Messages as JSON-like values in the form that manifests have, and the differences of two of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tollway.resources.messages import enum_word, is_output_only, is_spec_field

FieldFilter = Callable[[FieldDescriptor], bool]

_MISSING = object()


def _is_not_output_only(field: FieldDescriptor) -> bool:
    return not is_output_only(field)


def write_message(
    message: Message, accepts: FieldFilter, accepts_nested: FieldFilter = _is_not_output_only
) -> dict[str, Any]:
    """Fields that are set and that the filters take, by snake_case name; enums as words, durations as "60s"."""
    written: dict[str, Any] = {}
    for field, value in message.ListFields():
        if accepts(field):
            written[field.name] = _field_value(field, value, accepts_nested)
    return written


def write_spec(message: Message) -> dict[str, Any]:
    """The spec of a resource as a manifest would hold it: nothing that only the server sets."""
    return write_message(message, is_spec_field)


def _field_value(field: FieldDescriptor, value: Any, accepts: FieldFilter) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name["value"]
        return {str(key): _single_value(entry, value[key], accepts) for key in sorted(value)}
    if field.is_repeated:
        return [_single_value(field, item, accepts) for item in value]
    return _single_value(field, value, accepts)


def _single_value(field: FieldDescriptor, value: Any, accepts: FieldFilter) -> Any:
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    if field.message_type is None:
        return value
    if field.message_type.full_name in ("google.protobuf.Duration", "google.protobuf.Timestamp"):
        return cast("Duration | Timestamp", value).ToJsonString()
    if field.message_type.full_name == "google.protobuf.ListValue":
        return list(value)
    return write_message(value, accepts, accepts)


def differences(before: object, after: object, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Paths at which two written values differ, with both values; None stands for absent."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            here = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, _MISSING), after.get(key, _MISSING), here)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else _MISSING
            new = after[index] if index < len(after) else _MISSING
            yield from differences(old, new, f"{path}[{index}]")
    elif before is _MISSING or after is _MISSING or before != after:
        yield path, None if before is _MISSING else before, None if after is _MISSING else after
