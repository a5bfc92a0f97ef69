"""What is stored about changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

FILTER_FIELDS = ("resource", "principal", "method")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change of one resource; `before` and `after` hold no secret and are None where it did not exist."""

    time: datetime
    principal: str
    method: str
    resource: str
    revision: int
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    request_id: str


@dataclass(frozen=True, slots=True)
class StoredAuditEntry:
    id: int
    entry: AuditEntry
