"""Rotating and revoking virtual keys."""

from datetime import timedelta

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.errors import FailedPrecondition, InvalidArgument
from controlplane.keys.behaviour import DEFAULT_OVERLAP, VirtualKeyBehaviour, as_key
from controlplane.resources.behaviour import PendingChange, Settlement
from controlplane.resources.convert import resource_to_message
from controlplane.resources.kinds import ResourceKind
from controlplane.resources.names import check_name, missing
from controlplane.resources.rows import StoredResource
from controlplane.resources.service import raise_violations
from controlplane.resources.writer import Caller, Prepared, Written, check_etag, new_revision, store_change
from tollway.admin.v1.keys_pb2 import KEY_STATE_REVOKED, RevokeVirtualKeyRequest, RotateVirtualKeyRequest, VirtualKey
from tollway.resources.violations import Violation

MAX_OVERLAP = timedelta(days=30)


class KeyService:
    def __init__(self, kind: ResourceKind, behaviour: VirtualKeyBehaviour) -> None:
        self._kind = kind
        self._behaviour = behaviour

    async def rotate(self, unit: UnitOfWork, caller: Caller, request: RotateVirtualKeyRequest) -> Written:
        """Raises NotFound, Aborted on another etag, FailedPrecondition for a revoked key."""
        overlap = _overlap(request)
        row, key = await self._find(unit, request.name, request.etag)
        if key.state == KEY_STATE_REVOKED:
            raise FailedPrecondition(f"{row.name} is revoked for good; create another key", resource=row.name)
        settlement = Settlement()
        if not caller.validate_only:
            settlement = await self._behaviour.rotate(unit, key, overlap)
            raise_violations(settlement.violations, row.name)
        return await self._store(unit, caller, row, key, settlement)

    async def revoke(self, unit: UnitOfWork, caller: Caller, request: RevokeVirtualKeyRequest) -> Written:
        """Revoking again changes nothing. Raises NotFound, and Aborted on another etag."""
        row, key = await self._find(unit, request.name, request.etag)
        key.state = KEY_STATE_REVOKED
        return await self._store(unit, caller, row, key, Settlement())

    async def _find(self, unit: UnitOfWork, name: str, etag: str) -> tuple[StoredResource, VirtualKey]:
        check_name(self._kind.kind, name)
        row = await unit.resources.find(name)
        if row is None:
            raise missing(self._kind.kind, name)
        check_etag(etag, row)
        return row, as_key(resource_to_message(self._kind.kind, row))

    async def _store(
        self, unit: UnitOfWork, caller: Caller, row: StoredResource, key: VirtualKey, settlement: Settlement
    ) -> Written:
        change = PendingChange(
            desired=key,
            current=None,
            row=new_revision(row, unit),
            from_manifest=False,
            validate_only=caller.validate_only,
        )
        return await store_change(unit, Prepared(self._kind, change, row, settlement, []), caller)


def _overlap(request: RotateVirtualKeyRequest) -> timedelta:
    if not request.HasField("overlap"):
        return DEFAULT_OVERLAP
    overlap = request.overlap.ToTimedelta()
    if not timedelta() <= overlap <= MAX_OVERLAP:
        longest = int(MAX_OVERLAP.total_seconds())
        raise InvalidArgument([Violation("overlap", f'must be from "0s" to "{longest}s"')])
    return overlap
