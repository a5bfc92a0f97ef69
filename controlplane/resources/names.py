"""Names and ids in requests: what is malformed is an invalid argument, what can merely not exist is not found."""

from controlplane.errors import InvalidArgument, NotFound
from tollway.kernel.names import is_resource_id
from tollway.resources.kinds import Kind
from tollway.resources.violations import Violation

ANY_PARENT = "-"


def check_name(kind: Kind, name: str, field: str = "name") -> None:
    """Raises InvalidArgument for what is not a name of this kind, NotFound for one that no resource can have."""
    if kind.is_name(name):
        return
    if not name or len(name.split("/")) != len(kind.pattern().split("/")) or f"{kind.collection}/" not in name:
        raise InvalidArgument([Violation(field, f'"{name}" is not of the form {kind.pattern()}')])
    raise missing(kind, name)


def missing(kind: Kind, name: str) -> NotFound:
    return NotFound(f"{kind.name} {name} does not exist", resource=name)


def new_name(kind: Kind, resource_id: str, parent: str) -> str:
    """The name of a resource to be created. Raises InvalidArgument for a bad id or parent."""
    violations = []
    if not is_resource_id(resource_id):
        said = f'"{resource_id}" must match' if resource_id else "is required and must match"
        violations.append(Violation(kind.id_parameter, f"{said} [a-z0-9][a-z0-9._-]{{0,62}}"))
    collection, _, parent_id = parent.partition("/")
    if kind.parent and (collection != kind.parent or not is_resource_id(parent_id)):
        violations.append(_bad_parent(kind, parent))
    if violations:
        raise InvalidArgument(violations)
    return kind.resource_name(resource_id, parent_id)


def list_prefix(kind: Kind, parent: str) -> str:
    """What the names in the collection of `parent` begin with; "" for all parents.

    Raises InvalidArgument for what is not a parent.
    """
    if not kind.parent or parent == f"{kind.parent}/{ANY_PARENT}":
        return ""
    collection, _, parent_id = parent.partition("/")
    if collection != kind.parent or not is_resource_id(parent_id):
        raise InvalidArgument([_bad_parent(kind, parent)])
    return f"{parent}/{kind.collection}/"


def _bad_parent(kind: Kind, parent: str) -> Violation:
    form = f"{kind.parent}/{{{kind.parent.removesuffix('s')}}}"
    return Violation("parent", f'"{parent}" is not of the form {form}' if parent else f"is required: {form}")
