"""The comments of the admin schema, which Python's descriptors do not carry, out of its committed descriptor set."""

from collections.abc import Iterator, Mapping
from importlib import resources

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

_MESSAGES = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
_ENUMS = FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER
_SERVICES = FileDescriptorProto.SERVICE_FIELD_NUMBER
_Path = tuple[int, ...]


def admin_comments() -> Mapping[str, str]:
    """The comment of each message, field, enum, value, service and method, by full name."""
    return read_comments(resources.files("tollway.admin.v1").joinpath("schema.binpb").read_bytes())


def read_comments(descriptor_set: bytes) -> dict[str, str]:
    """As `admin_comments`, of the files in a serialized FileDescriptorSet; what has no comment is left out."""
    comments: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        names = dict(_names(file))
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            text = " ".join(location.leading_comments.split())
            if name and text:
                comments[name] = text
    return comments


def _names(file: FileDescriptorProto) -> Iterator[tuple[_Path, str]]:
    for index, message in enumerate(file.message_type):
        yield from _message_names(message, (_MESSAGES, index), f"{file.package}.{message.name}")
    for index, enum in enumerate(file.enum_type):
        yield from _enum_names(enum, (_ENUMS, index), f"{file.package}.{enum.name}")
    for index, service in enumerate(file.service):
        path: _Path = (_SERVICES, index)
        name = f"{file.package}.{service.name}"
        yield path, name
        for number, method in enumerate(service.method):
            yield (*path, ServiceDescriptorProto.METHOD_FIELD_NUMBER, number), f"{name}.{method.name}"


def _message_names(message: DescriptorProto, path: _Path, name: str) -> Iterator[tuple[_Path, str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, DescriptorProto.FIELD_FIELD_NUMBER, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        below = (*path, DescriptorProto.NESTED_TYPE_FIELD_NUMBER, index)
        yield from _message_names(nested, below, f"{name}.{nested.name}")


def _enum_names(enum: EnumDescriptorProto, path: _Path, name: str) -> Iterator[tuple[_Path, str]]:
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, EnumDescriptorProto.VALUE_FIELD_NUMBER, index), f"{name}.{value.name}"
