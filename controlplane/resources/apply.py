"""Applying manifests: all of them in order of dependence as one transaction, or none."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.errors import InvalidArgument
from controlplane.resources.convert import resource_to_message
from controlplane.resources.kinds import ResourceKind
from controlplane.resources.references import departure_violations, known_names, model_violations
from controlplane.resources.service import raise_violations
from controlplane.resources.writer import UNCHANGED, Caller, Prepared, Written, prepare_change, store_change
from tollway.admin.v1.manifests_pb2 import (
    ApplyManifestsRequest,
    ApplyManifestsResponse,
    FieldChange,
    ManifestResult,
)
from tollway.kernel.names import bare_id
from tollway.resources.kinds import dependency_rank
from tollway.resources.manifests import (
    ManifestObject,
    dangling_references,
    manifest_document,
    read_manifests,
    spec_violation,
)
from tollway.resources.violations import Violation
from tollway.resources.writing import differences, write_spec

MAX_MANIFESTS = 10_000


class ManifestApplier:
    def __init__(self, kinds: Mapping[str, ResourceKind]) -> None:
        self._kinds = kinds

    async def apply(self, unit: UnitOfWork, caller: Caller, request: ApplyManifestsRequest) -> ApplyManifestsResponse:
        """Raises InvalidArgument with everything that is wrong in any manifest; then nothing has changed."""
        if len(request.manifests) > MAX_MANIFESTS:
            raise InvalidArgument([Violation("manifests", f"at most {MAX_MANIFESTS} can be applied at once")])
        objects, violations = read_manifests([manifest_document(m) for m in request.manifests], validate=False)
        unreadable = {v.field.partition(".")[0] for v in violations}
        violations += await self._set_violations(unit, objects)
        ordered = sorted((o for o in objects if o.path not in unreadable), key=lambda o: dependency_rank(o.kind))
        prepared = await self._prepare(unit, caller, ordered)
        violations += [v for one in prepared for v in one.violations]
        raise_violations(sorted(violations, key=_document_index))
        results = {o.path: await self._store(unit, caller, p) for o, p in zip(ordered, prepared, strict=True)}
        revision = unit.head.revision if caller.validate_only else unit.revision
        return ApplyManifestsResponse(results=[results[o.path] for o in objects], revision=revision)

    async def _set_violations(self, unit: UnitOfWork, objects: Sequence[ManifestObject]) -> list[Violation]:
        """What is wrong with the manifests together with what exists: references, and claims made twice."""
        names = {name for o in objects for _, name in o.kind.references(o.resource)}
        violations = dangling_references(objects, await known_names(unit, names))
        violations += await self._model_violations(unit, objects)
        return violations + await self._claim_violations(unit, objects)

    async def _model_violations(self, unit: UnitOfWork, objects: Sequence[ManifestObject]) -> list[Violation]:
        """Models that nothing serves once all of `objects` are stored, and those that routes would cease to serve."""
        named = [(o, field, model) for o in objects for field, model in o.kind.models(o.resource)]
        paths = {f"{o.path}.spec.{field}": o for o, field, _ in named}
        found = await model_violations(
            unit, [(f"{o.path}.spec.{field}", model) for o, field, model in named], [o.resource for o in objects]
        )
        violations = [_about(paths[v.field], v.field, v.description) for v in found]
        applied = {o.name for o in objects}
        stored = await unit.resources.find_all(applied)
        for wanted in objects:
            kind, before = self._kinds[wanted.kind.name], stored.get(wanted.name)
            for v in await departure_violations(unit, kind, wanted.resource, before, applied):
                violations.append(_about(wanted, f"{wanted.path}.spec.{v.field}", v.description))
        return violations

    async def _claim_violations(self, unit: UnitOfWork, objects: Sequence[ManifestObject]) -> list[Violation]:
        claims = [(o, claim) for o in objects if (claim := self._kinds[o.kind.name].claim(o.resource)) is not None]
        applied = {o.name for o in objects}
        stored = await unit.resources.claimants([claim.key for _, claim in claims])
        owners = {key: name for key, name in stored.items() if name not in applied}
        violations = []
        for wanted, claim in claims:
            owner = owners.setdefault(claim.key, wanted.name)
            if owner != wanted.name:
                text = f"{claim.description} by {owner} already"
                violations.append(_about(wanted, f"{wanted.path}.spec.{claim.field}", text))
        return violations

    async def _prepare(self, unit: UnitOfWork, caller: Caller, objects: Sequence[ManifestObject]) -> list[Prepared]:
        existing = await unit.resources.find_all([o.name for o in objects])
        prepared = []
        owners: dict[bytes, str] = {}
        for wanted in objects:
            kind, before = self._kinds[wanted.kind.name], existing.get(wanted.name)
            change = await prepare_change(unit, kind, wanted.resource, before, caller=caller, from_manifest=True)
            digest = change.settlement.secret_digest
            owner = owners.setdefault(digest, wanted.name) if digest else wanted.name
            if owner != wanted.name:
                change.violations.append(
                    Violation("secret.ref", f"holds the secret of {owner}; each key needs its own")
                )
            named = [_about(wanted, v.field, v.description) for v in change.violations]
            change.violations = [spec_violation(wanted.path, v) for v in named]
            prepared.append(change)
        return prepared

    async def _store(self, unit: UnitOfWork, caller: Caller, prepared: Prepared) -> ManifestResult:
        written = await store_change(unit, prepared, caller)
        return ManifestResult(
            kind=prepared.kind.name,
            name=prepared.change.desired.name,
            action=written.action,
            changes=_field_changes(prepared, written),
            secret=written.issued_secret,
        )


def _about(found: ManifestObject, path: str, description: str) -> Violation:
    return Violation(path, f'{found.kind.name} "{bare_id(found.name)}": {description}')


def _document_index(violation: Violation) -> int:
    digits = violation.field.removeprefix("manifests[").partition("]")[0]
    return int(digits) if digits.isdecimal() else -1


def _field_changes(prepared: Prepared, written: Written) -> list[FieldChange]:
    if written.action == UNCHANGED:
        return []
    before = {} if prepared.before is None else write_spec(resource_to_message(prepared.kind.kind, prepared.before))
    changes = differences(before, write_spec(written.resource))
    return [FieldChange(path=path, before=_to_value(old), after=_to_value(new)) for path, old, new in changes]


def _to_value(value: Any) -> Value:
    return ParseDict(value, Value())
