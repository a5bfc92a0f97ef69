"""The admin messages as one type, and what their descriptors say about fields."""

from google.api import field_behavior_pb2
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.prices_pb2 import Price
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.admin.v1.routes_pb2 import Route
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream

AdminResource = Team | VirtualKey | Upstream | Route | Price | MetadataKey | RateLimit | Budget

SERVER_FIELDS = frozenset({"name", "uid", "etag", "create_time", "update_time"})
"""Fields of every resource that are no part of its spec."""


def is_output_only(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def is_spec_field(field: FieldDescriptor) -> bool:
    """Whether a manifest's spec may hold this top-level field of a resource."""
    return field.name not in SERVER_FIELDS and not is_output_only(field)


def enum_prefix(enum: EnumDescriptor) -> str:
    """What all value names begin with: "ROUTE_STRATEGY_"."""
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def enum_word(enum: EnumDescriptor, number: int) -> str:
    """The short lower-case word of a value, "weighted"; the number as text for one that is not known."""
    value = enum.values_by_number.get(number)
    return str(number) if value is None else value.name.removeprefix(enum_prefix(enum)).lower()


def enum_words(enum: EnumDescriptor) -> list[str]:
    """The words of all values but the unspecified one."""
    return [enum_word(enum, value.number) for value in enum.values if value.number]


def enum_number(enum: EnumDescriptor, text: str) -> int | None:
    """The value that a short word or a full name stands for, in any case."""
    wanted = text.upper()
    for name in (wanted, enum_prefix(enum) + wanted):
        value = enum.values_by_name.get(name)
        if value is not None:
            return value.number
    return None
