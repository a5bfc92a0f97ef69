"""Admin resources, normal and valid, into the machine form that data planes compile; secrets apart from the rest."""

from collections.abc import Iterable
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.prices_pb2 import Price, Rate
from tollway.admin.v1.routes_pb2 import Route, Timeouts
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.names import upstream_secret_name
from tollway.kernel.usage import Meter
from tollway.resources.bands import project_band
from tollway.resources.rates import discount_ppm, nano_usd_per_million
from tollway.usage.v1 import usage_pb2

KEY_PEPPER_NAME = "keyPeppers/default"


def project_team(team: Team, revision: int) -> machine.Resource:
    return machine.Resource(name=team.name, revision=revision, team=machine.Team(display_name=team.display_name))


def project_virtual_key(
    key: VirtualKey, revision: int, *, digests: Iterable[machine.KeyDigest], revoked: bool = False
) -> machine.Resource:
    """`digests` are HMACs of the key's secrets under the pepper that the same data plane gets."""
    return machine.Resource(
        name=key.name,
        revision=revision,
        virtual_key=machine.VirtualKey(
            team=key.name.rpartition("/keys/")[0],
            owner=key.owner,
            digests=digests,
            allowed_models=key.allowed_models,
            metadata=key.metadata,
            # 0 says that it never expires, which no time up to the first millisecond of 1970 means.
            expire_time_ms=max(1, key.expire_time.ToMilliseconds()) if key.HasField("expire_time") else 0,
            revoked=revoked,
        ),
    )


def project_upstream(upstream: Upstream, revision: int) -> machine.Resource:
    return machine.Resource(
        name=upstream.name,
        revision=revision,
        upstream=machine.Upstream(
            provider=upstream.provider,
            base_url=upstream.base_url,
            region=upstream.region,
            headers=upstream.headers,
            models=upstream.models,
            options=upstream.options,
            secret_ref=upstream.secret.ref,
        ),
    )


def project_upstream_secret(upstream: str, revision: int, value: str) -> machine.Resource:
    """The machine resource that carries the secret of `upstream`, a full name."""
    name = upstream_secret_name(upstream)
    return machine.Resource(name=name, revision=revision, upstream_secret=machine.UpstreamSecret(value=value))


def project_key_pepper(pepper: bytes, revision: int = 0) -> machine.Resource:
    return machine.Resource(name=KEY_PEPPER_NAME, revision=revision, key_pepper=machine.KeyPepper(pepper=pepper))


def project_route(route: Route, revision: int) -> machine.Resource:
    targets = [
        machine.Target(upstream=t.upstream, model=t.model, weight=t.weight, priority=t.priority) for t in route.targets
    ]
    return machine.Resource(
        name=route.name,
        revision=revision,
        route=machine.Route(
            model=route.model,
            strategy=cast(machine.RouteStrategy.ValueType, int(route.strategy)),
            targets=targets,
            retry=machine.RetryPolicy(max_attempts=route.retry.max_attempts),
            fallback=machine.FallbackPolicy(enabled=route.fallback.enabled),
            timeouts=_project_timeouts(route.timeouts),
        ),
    )


def _project_timeouts(timeouts: Timeouts) -> machine.Timeouts:
    return machine.Timeouts(
        total_ms=timeouts.total.ToMilliseconds(),
        first_byte_ms=timeouts.first_byte.ToMilliseconds(),
        idle_ms=timeouts.idle.ToMilliseconds(),
    )


def project_price(price: Price, revision: int) -> machine.Resource:
    model = machine.ModelMatch(glob=price.model) if "*" in price.model else machine.ModelMatch(exact=price.model)
    since = price.effective_from if price.HasField("effective_from") else Timestamp()
    return machine.Resource(
        name=price.name,
        revision=revision,
        price=machine.Price(
            provider=price.provider,
            models=[model],
            rates=[project_rate(rate) for rate in price.rates],
            effective_from_ms=since.ToMilliseconds(),
            band=project_band(price.band) if price.HasField("band") else None,
            discount_ppm=discount_ppm(price.discount_percent) if price.discount_percent else 0,
        ),
    )


def project_rate(rate: Rate) -> machine.Rate:
    """`rate` has no violations."""
    return machine.Rate(
        meter=cast(usage_pb2.Meter.ValueType, int(Meter[rate.meter.upper()])),
        nano_usd_per_million=nano_usd_per_million(rate),
        above_input_tokens=rate.above_input_tokens,
        service_tier=rate.service_tier,
    )


def project_price_book(name: str, book: machine.PriceBook, revision: int) -> machine.Resource:
    """`name` is the full resource name."""
    return machine.Resource(name=name, revision=revision, price_book=book)
