"""Audit rows: append and list."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.audit.tables import audit_event

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


class AuditStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        if not entries:
            return
        rows = [asdict(entry) for entry in entries]
        for row in rows:
            row["before"] = null() if row["before"] is None else row["before"]
            row["after"] = null() if row["after"] is None else row["after"]
        for row in rows:
            await self._connection.execute(insert(audit_event).values(row))

    async def list_before(
        self, before_id: int | None, filters: Mapping[str, str], limit: int
    ) -> list[StoredAuditEntry]:
        """The newest first; `filters` are equalities of FILTER_FIELDS."""
        query = select(audit_event).order_by(audit_event.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(audit_event.c.id < before_id)
        for field, value in filters.items():
            query = query.where(audit_event.c[field] == value)
        rows = await self._connection.execute(query)
        return [
            StoredAuditEntry(fields.pop("id"), AuditEntry(**fields)) for row in rows.mappings() if (fields := dict(row))
        ]
