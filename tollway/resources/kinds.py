"""The kinds of resources, a row each, in the order in which they depend on one another."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.prices_pb2 import Price
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.admin.v1.routes_pb2 import Route
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.kernel.names import ID_PATTERN
from tollway.resources import budgets, normalize, rate_limits, validate
from tollway.resources.matches import match_models, match_references
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation

Reference = tuple[str, str]
"""A field's path, and the full name that it refers to."""


def _no_references(resource: AdminResource) -> Iterable[Reference]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource: its message, where it lives, and its rules.

    `collection` is the plural in names ("keys"), `field` the name of the resource in requests ("virtual_key"),
    `id_parameter` that of its id ("key_id"), `parent` the collection that holds it ("teams") or "". `references` are
    the names that a resource depends on, `models` the requested models, which a route or an upstream must serve.
    """

    name: str
    message: Callable[..., AdminResource]
    collection: str
    field: str
    id_parameter: str
    parent: str
    normalize: Callable[[Any], None]
    validate: Callable[[Any], Iterator[Violation]]
    references: Callable[[Any], Iterable[Reference]]
    models: Callable[[Any], Iterable[Reference]] = _no_references

    def resource_name(self, resource_id: str, parent_id: str = "") -> str:
        own = f"{self.collection}/{resource_id}"
        return f"{self.parent}/{parent_id}/{own}" if self.parent else own

    @property
    def list_field(self) -> str:
        """The field of list answers that holds resources of this kind: "metadata_keys"."""
        return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", self.collection)

    def is_name(self, name: str) -> bool:
        """Whether `name` is the full name of a resource of this kind."""
        return self._pattern().fullmatch(name) is not None

    def pattern(self) -> str:
        """The form of names, for messages: "teams/{team}/keys/{key}"."""
        own = f"{self.collection}/{{{self.id_parameter.removesuffix('_id')}}}"
        return f"{self.parent}/{{{self.parent.removesuffix('s')}}}/{own}" if self.parent else own

    def _pattern(self) -> re.Pattern[str]:
        own = f"{self.collection}/{ID_PATTERN.pattern}"
        return re.compile(f"{self.parent}/{ID_PATTERN.pattern}/{own}" if self.parent else own)


def _key_references(key: VirtualKey) -> Iterable[Reference]:
    return (("team", key.name.rpartition("/keys/")[0]),)


def _rule_references(rule: RateLimit | Budget) -> Iterable[Reference]:
    return match_references(rule.match)


def _rule_models(rule: RateLimit | Budget) -> Iterable[Reference]:
    return match_models(rule.match)


def _route_references(route: Route) -> Iterable[Reference]:
    return [(f"targets[{i}].upstream", target.upstream) for i, target in enumerate(route.targets)]


TEAM = Kind(
    name="Team",
    message=Team,
    collection="teams",
    field="team",
    id_parameter="team_id",
    parent="",
    normalize=normalize.normalize_team,
    validate=validate.validate_team,
    references=_no_references,
)
VIRTUAL_KEY = Kind(
    name="VirtualKey",
    message=VirtualKey,
    collection="keys",
    field="virtual_key",
    id_parameter="key_id",
    parent="teams",
    normalize=normalize.normalize_virtual_key,
    validate=validate.validate_virtual_key,
    references=_key_references,
)
UPSTREAM = Kind(
    name="Upstream",
    message=Upstream,
    collection="upstreams",
    field="upstream",
    id_parameter="upstream_id",
    parent="",
    normalize=normalize.normalize_upstream,
    validate=validate.validate_upstream,
    references=_no_references,
)
ROUTE = Kind(
    name="Route",
    message=Route,
    collection="routes",
    field="route",
    id_parameter="route_id",
    parent="",
    normalize=normalize.normalize_route,
    validate=validate.validate_route,
    references=_route_references,
)
PRICE = Kind(
    name="Price",
    message=Price,
    collection="prices",
    field="price",
    id_parameter="price_id",
    parent="",
    normalize=normalize.normalize_price,
    validate=validate.validate_price,
    references=_no_references,
)
METADATA_KEY = Kind(
    name="MetadataKey",
    message=MetadataKey,
    collection="metadataKeys",
    field="metadata_key",
    id_parameter="metadata_key_id",
    parent="",
    normalize=normalize.normalize_metadata_key,
    validate=validate.validate_metadata_key,
    references=_no_references,
)
RATE_LIMIT = Kind(
    name="RateLimit",
    message=RateLimit,
    collection="rateLimits",
    field="rate_limit",
    id_parameter="rate_limit_id",
    parent="",
    normalize=rate_limits.normalize_rate_limit,
    validate=rate_limits.validate_rate_limit,
    references=_rule_references,
    models=_rule_models,
)
BUDGET = Kind(
    name="Budget",
    message=Budget,
    collection="budgets",
    field="budget",
    id_parameter="budget_id",
    parent="",
    normalize=budgets.normalize_budget,
    validate=budgets.validate_budget,
    references=_rule_references,
    models=_rule_models,
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (TEAM, VIRTUAL_KEY, UPSTREAM, ROUTE, PRICE, METADATA_KEY, RATE_LIMIT, BUDGET)
}
"""By name, in order of dependence: a kind refers only to kinds before it."""


def kind_names() -> str:
    """All names, for messages."""
    return ", ".join(KINDS)


def dependency_rank(kind: Kind) -> int:
    return list(KINDS).index(kind.name)


def copy_resource(resource: AdminResource) -> AdminResource:
    copied = type(resource)()
    copied.CopyFrom(resource)  # type: ignore[arg-type]
    return copied
