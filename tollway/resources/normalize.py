"""Resources in normal form: references as full names, defaults written out. Normalizing twice changes nothing."""

from collections.abc import Iterable

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.prices_pb2 import Price, Rate
from tollway.admin.v1.routes_pb2 import ROUTE_STRATEGY_UNSPECIFIED, ROUTE_STRATEGY_WEIGHTED, Route
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.kernel.names import bare_id, full_name
from tollway.kernel.service_tiers import canonical_tier
from tollway.resources.addresses import with_lower_origin
from tollway.resources.providers import canonical_provider
from tollway.resources.rates import default_per

DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_WEIGHT = 1


def normalize_team(team: Team) -> None:
    """A team has no defaults."""


def normalize_virtual_key(key: VirtualKey) -> None:
    team = key.name.rpartition("/keys/")[0]
    key.owner = full_name("teams", key.owner) if key.owner else team


def normalize_upstream(upstream: Upstream) -> None:
    upstream.provider = canonical_provider(upstream.provider)
    upstream.base_url = with_lower_origin(upstream.base_url.rstrip("/"))
    headers = {name.lower(): value for name, value in upstream.headers.items()}
    if len(headers) == len(upstream.headers):
        upstream.headers.clear()
        upstream.headers.update(headers)


def normalize_route(route: Route) -> None:
    route.model = route.model or bare_id(route.name)
    if route.strategy == ROUTE_STRATEGY_UNSPECIFIED:
        route.strategy = ROUTE_STRATEGY_WEIGHTED
    for target in route.targets:
        target.upstream = full_name("upstreams", target.upstream) if target.upstream else ""
        target.model = target.model or route.model
        if not target.HasField("weight"):
            target.weight = DEFAULT_WEIGHT
    route.retry.max_attempts = route.retry.max_attempts or DEFAULT_MAX_ATTEMPTS
    if not route.fallback.HasField("enabled"):
        route.fallback.enabled = True


def normalize_price(price: Price) -> None:
    price.provider = canonical_provider(price.provider)
    normalize_rates(price.rates)


def normalize_rates(rates: Iterable[Rate]) -> None:
    for rate in rates:
        rate.per = rate.per or default_per(rate.meter)
        rate.service_tier = canonical_tier(rate.service_tier)


def normalize_metadata_key(metadata_key: MetadataKey) -> None:
    metadata_key.key = metadata_key.key or bare_id(metadata_key.name)
