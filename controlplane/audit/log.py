"""Audit events of what admins do beyond the configuration."""

from collections.abc import Mapping
from typing import Any

from controlplane.audit.rows import AuditEntry
from controlplane.authz import AdminPrincipal
from controlplane.db.unit_of_work import ConfigStore


class AuditLog:
    """Writes each event in a transaction of its own, to be called before the deed: nothing is done unseen."""

    def __init__(self, config: ConfigStore) -> None:
        self._config = config

    async def note(self, principal: AdminPrincipal, resource: str, deed: Mapping[str, Any]) -> None:
        """`principal` is about to do `deed`, which holds no secret, to `resource`. Raises Unavailable."""
        async with self._config.write() as unit:
            entry = AuditEntry(
                time=unit.now,
                principal=principal.name,
                method=principal.method,
                resource=resource,
                revision=unit.head.revision,
                before=None,
                after=deed,
                request_id="",
            )
            await unit.audit.append([entry])
