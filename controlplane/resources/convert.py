"""Between stored rows and admin messages, and the form that the audit log shows."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from controlplane.resources.rows import StoredResource
from tollway.admin.v1.budgets_pb2 import Budget
from tollway.resources.kinds import KINDS, Kind
from tollway.resources.messages import SERVER_FIELDS, AdminResource
from tollway.resources.writing import write_message

_LONG_FIELDS = frozenset({"omissions", "prices"})


def resource_to_message(kind: Kind, row: StoredResource) -> AdminResource:
    """The message of a row, without what only its room computes."""
    message = kind.message(name=row.name, uid=str(row.uid), etag=row.etag, labels=row.labels)
    json_format.ParseDict(dict(row.spec), message, ignore_unknown_fields=True)
    message.create_time.FromDatetime(row.create_time)
    message.update_time.FromDatetime(row.update_time)
    return message


def message_to_spec(message: AdminResource) -> dict[str, Any]:
    """What is stored as spec: everything but labels and what the row has columns for."""
    spec: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {field: value for field, value in spec.items() if field not in SERVER_FIELDS and field != "labels"}


def resource_to_audit(row: StoredResource) -> Mapping[str, Any]:
    """A row as the audit log shows it, in the words of the admin API; of a webhook's URL, a secret, only the host."""
    kind = KINDS.get(row.kind)
    if kind is None:
        shown = {field: value for field, value in row.spec.items() if field not in _LONG_FIELDS}
        return {"name": row.name, "uid": str(row.uid), "etag": row.etag, **shown}
    message = resource_to_message(kind, row)
    if isinstance(message, Budget) and message.alerts.webhook_url:
        parts = urlsplit(message.alerts.webhook_url)
        message.alerts.webhook_url = f"{parts.scheme}://{parts.netloc}/..."
    return write_message(message, _is_audited, lambda _: True)


def _is_audited(field: FieldDescriptor) -> bool:
    return field.name not in ("create_time", "update_time")
