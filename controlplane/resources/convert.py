"""Between stored rows and admin messages, and the form that the audit log shows."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from controlplane.resources.store import StoredResource
from tollway.resources.kinds import Kind
from tollway.resources.messages import SERVER_FIELDS, AdminResource


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
    """A row as the audit log shows it; specs hold no secrets."""
    shown: dict[str, Any] = {"name": row.name, "uid": str(row.uid), "etag": row.etag, **row.spec}
    if row.labels:
        shown["labels"] = dict(row.labels)
    shown.pop("prices", None)
    return json.loads(json.dumps(shown))  # type: ignore[no-any-return]
