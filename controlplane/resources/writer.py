"""Storing one changed resource inside a unit of work: etag, validation, references, row, audit entry."""

import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.audit.rows import AuditEntry
from controlplane.authz import AdminPrincipal
from controlplane.db.unit_of_work import UnitOfWork
from controlplane.errors import Aborted, FailedPrecondition
from controlplane.resources.behaviour import PendingChange, Settlement
from controlplane.resources.convert import message_to_spec, resource_to_audit, resource_to_message
from controlplane.resources.kinds import ResourceKind
from controlplane.resources.references import (
    departure_violations,
    known_names,
    model_violations,
    referrers_of,
    shown_names,
)
from controlplane.resources.rows import StoredResource
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the change, by which method and request."""

    principal: AdminPrincipal
    request_id: str = ""
    validate_only: bool = False


@dataclass(slots=True)
class Prepared:
    """A change that has been judged; `violations` must be empty before it is stored."""

    kind: ResourceKind
    change: PendingChange
    before: StoredResource | None
    settlement: Settlement
    violations: list[Violation]


@dataclass(frozen=True, slots=True)
class Written:
    action: str
    resource: AdminResource
    issued_secret: str


async def prepare_change(
    unit: UnitOfWork,
    kind: ResourceKind,
    desired: AdminResource,
    before: StoredResource | None,
    *,
    caller: Caller,
    from_manifest: bool = False,
) -> Prepared:
    """Brings `desired` into normal form and judges it by itself; references and claims are judged apart."""
    current = None if before is None else resource_to_message(kind.kind, before)
    row = first_revision(kind.name, desired.name, unit) if before is None else new_revision(before, unit)
    change = PendingChange(desired, current, row, from_manifest, caller.validate_only)
    kind.behaviour.prepare(change)
    kind.kind.normalize(desired)
    violations = list(kind.kind.validate(desired))
    settlement = Settlement() if violations else await kind.behaviour.settle(unit, change)
    return Prepared(kind, change, before, settlement, violations + settlement.violations)


async def reference_violations(
    unit: UnitOfWork, kind: ResourceKind, desired: AdminResource, before: StoredResource | None
) -> list[Violation]:
    """References to what does not exist, claims that another resource has, and those that others count on."""
    references = list(kind.kind.references(desired))
    existing = await known_names(unit, [name for _, name in references])
    violations = [
        Violation(field, f'"{name}" does not exist; create it or correct the name')
        for field, name in references
        if name and name not in existing
    ]
    violations += await model_violations(unit, list(kind.kind.models(desired)))
    claim = kind.claim(desired)
    if claim is not None:
        owner = (await unit.resources.claimants([claim.key])).get(claim.key, desired.name)
        if owner != desired.name:
            violations.append(Violation(claim.field, f"{claim.description} by {owner} already"))
    return violations + await departure_violations(unit, kind, desired, before, ())


async def store_change(unit: UnitOfWork, prepared: Prepared, caller: Caller) -> Written:
    """Writes what `prepare_change` judged to be fine; nothing is written when nothing changes."""
    kind, change, before = prepared.kind, prepared.change, prepared.before
    spec, labels = message_to_spec(change.desired), dict(change.desired.labels)
    if before is not None and not prepared.settlement.changed and (before.spec, before.labels) == (spec, labels):
        return Written(UNCHANGED, present_row(kind, before, unit.now), "")
    claim = kind.claim(change.desired)
    after = replace(
        change.row,
        spec=spec,
        labels=labels,
        refs=kind.reference_names(change.desired),
        claim=None if claim is None else claim.key,
    )
    if not caller.validate_only:
        await prepared.settlement.store()
        unit.record(after, audit_entry(unit, caller, before, after))
    action = CREATED if before is None else UPDATED
    return Written(action, present_row(kind, after, unit.now), prepared.settlement.issued_secret)


async def delete_resource(unit: UnitOfWork, kind: ResourceKind, row: StoredResource, caller: Caller) -> None:
    """Leaves a tombstone. Raises FailedPrecondition naming what refers to the resource."""
    referrers = await referrers_of(unit, row)
    if referrers:
        raise FailedPrecondition(
            f"{row.name} is in use by {shown_names(referrers)}; delete or change them first", resource=row.name
        )
    if caller.validate_only:
        return
    tombstone = replace(
        row, revision=unit.next_revision, spec={}, labels={}, refs=(), claim=None, update_time=unit.now, deleted=True
    )
    await kind.behaviour.forget(unit, row.name)
    unit.record(tombstone, audit_entry(unit, caller, row, None))


def check_etag(etag: str, row: StoredResource) -> None:
    """Raises Aborted when the caller saw another state than the current one."""
    if etag and etag != row.etag:
        raise Aborted(
            f'etag "{etag}" of {row.name} is not the current one; read it again and repeat the change',
            resource=row.name,
        )


def audit_entry(
    unit: UnitOfWork, caller: Caller, before: StoredResource | None, after: StoredResource | None
) -> AuditEntry:
    changed = after or before
    assert changed is not None
    return AuditEntry(
        time=unit.now,
        principal=caller.principal.name,
        method=caller.principal.method,
        resource=changed.name,
        revision=unit.next_revision,
        before=None if before is None else resource_to_audit(before),
        after=None if after is None else resource_to_audit(after),
        request_id=caller.request_id,
    )


def new_revision(row: StoredResource, unit: UnitOfWork) -> StoredResource:
    """The row of the next revision of what `row` is."""
    revision = unit.next_revision
    return replace(row, revision=revision, etag=make_etag(row.uid, revision), update_time=unit.now)


def first_revision(kind: str, name: str, unit: UnitOfWork) -> StoredResource:
    """The row of a resource that does not exist yet."""
    uid = uuid.uuid4()
    return StoredResource(
        name=name,
        revision=unit.next_revision,
        kind=kind,
        uid=uid,
        etag=make_etag(uid, unit.next_revision),
        spec={},
        labels={},
        refs=(),
        claim=None,
        create_time=unit.now,
        update_time=unit.now,
    )


def make_etag(uid: uuid.UUID, revision: int) -> str:
    return hashlib.sha256(uid.bytes + revision.to_bytes(8, "big")).hexdigest()[:16]


def present_row(kind: ResourceKind, row: StoredResource, now: datetime) -> AdminResource:
    """The message that callers see."""
    message = resource_to_message(kind.kind, row)
    kind.behaviour.present(message, now)
    return message
