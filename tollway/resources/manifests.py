"""Manifests into resources: `{apiVersion: tollway/v1, kind, metadata: {name, team?, labels?}, spec}`, strictly.

Violations name the document, the object, the field, and what would be valid.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.manifests_pb2 import Manifest
from tollway.admin.v1.routes_pb2 import Route
from tollway.kernel.names import is_resource_id
from tollway.resources.kinds import KINDS, Kind, kind_names
from tollway.resources.matches import of_any_team
from tollway.resources.messages import AdminResource, is_spec_field
from tollway.resources.reading import read_message
from tollway.resources.violations import Violation, join_path, listed, prefixed

API_VERSION = "tollway/v1"
_DOCUMENT_FIELDS = {"apiVersion": "apiVersion", "api_version": "apiVersion", "kind": "kind", "metadata": "metadata"}
_DOCUMENT_FIELDS["spec"] = "spec"
_METADATA_FIELDS = ("name", "team", "labels")


@dataclass(frozen=True, slots=True)
class ManifestObject:
    """One resource that a manifest asks for, in normal form; `path` is where it stands: "manifests[2]"."""

    kind: Kind
    resource: AdminResource
    path: str

    @property
    def name(self) -> str:
        return self.resource.name


def manifest_document(manifest: Manifest) -> dict[str, Any]:
    """The document that an API request's manifest stands for."""
    metadata: dict[str, Any] = {"name": manifest.metadata.name}
    if manifest.metadata.team:
        metadata["team"] = manifest.metadata.team
    if manifest.metadata.labels:
        metadata["labels"] = dict(manifest.metadata.labels)
    spec = json_format.MessageToDict(manifest.spec)
    return {"apiVersion": manifest.api_version, "kind": manifest.kind, "metadata": metadata, "spec": spec}


def read_manifests(
    documents: Sequence[object], *, validate: bool = True
) -> tuple[list[ManifestObject], list[Violation]]:
    """All resources that could be told, and everything that is wrong with them, duplicates included.

    Without `validate` only their shape is judged, for those who still complete the resources from what exists.
    Where there are violations the resources may be incomplete: they serve only to find more. References are not
    looked at here: see `dangling_references` and `model_conflicts`.
    """
    objects: list[ManifestObject] = []
    violations: list[Violation] = []
    if not documents:
        violations.append(Violation("manifests", "nothing to apply: give at least one manifest"))
    for index, document in enumerate(documents):
        read, wrong = read_manifest(document, f"manifests[{index}]", validate=validate)
        violations += wrong
        if read is not None:
            objects.append(read)
    return objects, violations + _duplicates(objects)


def read_closed_set(documents: Sequence[object]) -> tuple[list[ManifestObject], list[Violation]]:
    """As `read_manifests`, for documents that must stand alone: references and routes' models are checked too."""
    objects, violations = read_manifests(documents)
    violations += dangling_references(objects)
    routes = [(f"{o.path}.spec.model", o.name, o.resource.model) for o in objects if isinstance(o.resource, Route)]
    return objects, violations + model_conflicts(routes)


def read_manifest(
    document: object, path: str, *, validate: bool = True
) -> tuple[ManifestObject | None, list[Violation]]:
    """The resource that one document asks for; None when it cannot even be told which."""
    if not isinstance(document, Mapping):
        return None, [Violation(path, "must be an object with apiVersion, kind, metadata and spec")]
    head, violations = _read_head(document, path)
    said = head.get("kind")
    kind = KINDS.get(said) if isinstance(said, str) else None
    if kind is None:
        what = f'"{said}" is not a kind that this release knows' if said else "is required"
        return None, [*violations, Violation(f"{path}.kind", f"{what}; known are {kind_names()}")]
    name, wrong = _read_name(kind, head.get("metadata"), f"{path}.metadata")
    violations += wrong
    if not name:
        return None, violations
    found, wrong = _read_resource(kind, name, head, path)
    about = f'{kind.name} "{name.rpartition("/")[2]}"'
    if validate and not wrong:
        wrong = [spec_violation(path, v) for v in listed(kind.validate(found.resource), "")]
    return found, violations + [Violation(v.field, f"{about}: {v.description}") for v in wrong]


def _read_head(document: Mapping[Any, Any], path: str) -> tuple[dict[str, Any], list[Violation]]:
    head: dict[str, Any] = {}
    violations = []
    for key, value in document.items():
        known = _DOCUMENT_FIELDS.get(str(key))
        if known is None:
            valid = "apiVersion, kind, metadata, spec"
            violations.append(Violation(f"{path}.{key}", f"unknown field; a manifest has {valid}"))
        else:
            head[known] = value
    if head.get("apiVersion") != API_VERSION:
        violations.append(Violation(f"{path}.apiVersion", f"must be {API_VERSION}"))
    return head, listed(violations, path)


def _read_name(kind: Kind, metadata: object, path: str) -> tuple[str, list[Violation]]:
    """The full resource name; "" when it cannot be told."""
    if not isinstance(metadata, Mapping):
        return "", [Violation(path, "is required: {name: ...}")]
    unknown = (
        Violation(f"{path}.{key}", f"unknown field; metadata has {', '.join(_METADATA_FIELDS)}")
        for key in metadata
        if key not in _METADATA_FIELDS
    )
    violations = listed(unknown, path)
    wrong = _id_violations(metadata.get("name"), f"{path}.name", "is required")
    team = metadata.get("team")
    if kind.parent:
        wrong += _id_violations(team, f"{path}.team", f"is required: the team of this {kind.name}")
    elif team:
        violations.append(Violation(f"{path}.team", f"a {kind.name} belongs to no team; leave it out"))
    if wrong:
        return "", violations + wrong
    return kind.resource_name(str(metadata["name"]), str(team or "")), violations


def _id_violations(value: object, path: str, required: str) -> list[Violation]:
    if value is None or value == "":
        return [Violation(path, required)]
    if not isinstance(value, str) or not is_resource_id(value):
        return [Violation(path, f'"{value}" must be a string that matches [a-z0-9][a-z0-9._-]{{0,62}}')]
    return []


def _read_resource(kind: Kind, name: str, head: Mapping[str, Any], path: str) -> tuple[ManifestObject, list[Violation]]:
    resource = kind.message(name=name)
    spec = head.get("spec")
    violations = read_message({} if spec is None else spec, resource, f"{path}.spec", is_spec_field)
    violations += _read_labels(resource, head["metadata"].get("labels"), f"{path}.metadata.labels")
    violations += _secret_values(kind, spec, f"{path}.spec")
    kind.normalize(resource)
    return ManifestObject(kind, resource, path), violations


def _read_labels(resource: AdminResource, labels: object, path: str) -> list[Violation]:
    if labels is None:
        return []
    given = dict(resource.labels)
    resource.labels.clear()
    wrong = read_message({"labels": labels}, resource, "", lambda field: field.name == "labels")
    if given and given != dict(resource.labels):
        wrong.append(Violation("labels", "differ from those in spec.labels; give them once"))
    return [Violation(join_path(path, v.field.removeprefix("labels").removeprefix(".")), v.description) for v in wrong]


def _secret_values(kind: Kind, spec: object, path: str) -> list[Violation]:
    secret = spec.get("secret") if isinstance(spec, Mapping) else None
    if not isinstance(secret, Mapping) or "value" not in secret or kind.name != "Upstream":
        return []
    return [
        Violation(
            f"{path}.secret.value",
            "manifests hold no secrets; use `ref: env:NAME` or `ref: file:/path`, or set the value by the admin API",
        )
    ]


def spec_violation(path: str, violation: Violation) -> Violation:
    """A violation of a resource with its place in the manifest at `path`."""
    if violation.field == "name":
        return Violation(f"{path}.metadata.name", violation.description)
    return prefixed(f"{path}.spec", [violation])[0]


def _duplicates(objects: Iterable[ManifestObject]) -> list[Violation]:
    first: dict[str, str] = {}
    violations = []
    for found in objects:
        earlier = first.setdefault(found.name, found.path)
        if earlier != found.path:
            violations.append(Violation(found.path, f'{found.kind.name} "{found.name}" is given already at {earlier}'))
    return violations


def dangling_references(objects: Iterable[ManifestObject], existing: frozenset[str] = frozenset()) -> list[Violation]:
    """References to resources that are neither among `objects` nor in `existing`, full names."""
    objects = list(objects)
    known = existing | {found.name for found in objects}
    known |= {of_any_team(found.name) for found in objects if isinstance(found.resource, VirtualKey)}
    violations = []
    for found in objects:
        about = f'{found.kind.name} "{found.name.rpartition("/")[2]}"'
        for field, name in found.kind.references(found.resource):
            if name and name not in known:
                where = f"{found.path}.metadata.team" if field == "team" else f"{found.path}.spec.{field}"
                violations.append(Violation(where, f'{about}: "{name}" does not exist; create it or correct the name'))
    return violations


def model_conflicts(routes: Iterable[tuple[str, str, str]]) -> list[Violation]:
    """Routes that claim a model which an earlier one has; each is (path of its model, name, model)."""
    first: dict[str, str] = {}
    violations = []
    for path, name, model in routes:
        owner = first.setdefault(model, name)
        if owner != name:
            violations.append(Violation(path, f'model "{model}" is served by {owner} already; a model has one route'))
    return violations
