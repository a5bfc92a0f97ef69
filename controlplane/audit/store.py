"""Audit rows: append and list."""

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.audit.rows import AuditEntry, StoredAuditEntry
from controlplane.audit.tables import audit_event


class AuditStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        rows = [{name: getattr(entry, name) for name in AuditEntry.__slots__} for entry in entries]
        if rows:
            await self._connection.execute(insert(audit_event), rows)

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
