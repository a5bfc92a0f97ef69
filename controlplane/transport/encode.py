"""Messages as the admin API's JSON: snake_case names, int64 as numbers, enums as words, defaults written out. Pure.

Fields with presence that are unset are left out, and so is whatever is input only.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson
from google.api import field_behavior_pb2
from google.protobuf import symbol_database
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from tollway.resources.messages import enum_word
from tollway.resources.writing import write_message

_MAX_EXACT_INTEGER = 1 << 53


def encode_message(message: Message) -> bytes:
    """The JSON text of `message`."""
    return orjson.dumps(message_value(message))


def message_value(message: Message) -> Any:
    """What the JSON text of `message` holds."""
    match message.DESCRIPTOR.full_name:
        case "google.protobuf.Timestamp" | "google.protobuf.Duration":
            return cast("Timestamp | Duration", message).ToJsonString()
        case "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue":
            return _struct_value(cast("Struct | Value | ListValue", message))
        case "google.protobuf.Any":
            return _packed_value(cast(PackedMessage, message))
    fields = cast(Descriptor, message.DESCRIPTOR).fields
    return {field.name: _field_value(message, field) for field in fields if _is_shown(message, field)}


def is_input_only(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.INPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _is_shown(message: Message, field: FieldDescriptor) -> bool:
    if is_input_only(field):
        return False
    if field.enum_type is not None and not field.is_repeated:
        # The zero value says that nobody said anything; it has no word.
        return bool(getattr(message, field.name))
    return not field.has_presence or message.HasField(field.name)


def _field_value(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        item = field.message_type.fields_by_name["value"]
        return {str(key): _single_value(item, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single_value(field, item) for item in value]
    return _single_value(field, value)


def _single_value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    return value if field.message_type is None else message_value(value)


def _struct_value(message: Struct | Value | ListValue) -> Any:
    if isinstance(message, Struct):
        return {key: _struct_value(message.fields[key]) for key in sorted(message.fields)}
    if isinstance(message, ListValue):
        return [_struct_value(item) for item in message.values]
    match message.WhichOneof("kind"):
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() and abs(number) <= _MAX_EXACT_INTEGER else number
        case "struct_value":
            return _struct_value(message.struct_value)
        case "list_value":
            return _struct_value(message.list_value)
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case _:
            return None


def _packed_value(message: PackedMessage) -> Mapping[str, Any]:
    """Details of errors: only what is set, for each names a dozen fields that rarely are."""
    name = message.TypeName()
    inner = symbol_database.Default().GetSymbol(name)()
    message.Unpack(inner)
    return {"@type": message.type_url, **write_message(inner, lambda _: True)}
