"""The kinds as the engine knows them: the shared row, its behaviour, and what a resource claims for itself alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controlplane.resources.behaviour import Behaviour
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.routes_pb2 import Route
from tollway.kernel.names import is_resource_id
from tollway.resources.kinds import KINDS, UPSTREAM, Kind
from tollway.resources.messages import AdminResource


@dataclass(frozen=True, slots=True)
class Claim:
    """What only one resource may have: the field it stands in, a key for it, and what a message says before `by`."""

    field: str
    key: str
    description: str


def model_claim(model: str) -> str:
    """What the route that serves `model` has for itself alone."""
    return f"model:{model}"


@dataclass(frozen=True, slots=True)
class ResourceKind:
    kind: Kind
    behaviour: Behaviour

    @property
    def name(self) -> str:
        return self.kind.name

    def claim(self, resource: AdminResource) -> Claim | None:
        if isinstance(resource, Route):
            return Claim("model", model_claim(resource.model), f'model "{resource.model}" is served')
        if isinstance(resource, MetadataKey):
            return Claim("key", f"metadata_key:{resource.key}", f'metadata key "{resource.key}" is declared')
        return None

    def reference_names(self, resource: AdminResource) -> tuple[str, ...]:
        """Names, claims of models, and the upstreams that models may be addressed at; what has these is kept."""
        names = [name for _, name in self.kind.references(resource)]
        for _, model in self.kind.models(resource):
            names.append(model_claim(model))
            upstream, _, rest = model.partition("/")
            names += [UPSTREAM.resource_name(upstream)] if rest and is_resource_id(upstream) else []
        return tuple(dict.fromkeys(names))


def resource_kinds(behaviour_of: Callable[[str], Behaviour]) -> Mapping[str, ResourceKind]:
    """All kinds in order of dependence, with the behaviour that `behaviour_of` gives for each name."""
    return {name: ResourceKind(kind, behaviour_of(name)) for name, kind in KINDS.items()}
