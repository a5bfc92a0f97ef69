"""The machine form of resources."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.prices_pb2 import Price, PriceBand, Rate
from tollway.admin.v1.routes_pb2 import Route, Target
from tollway.admin.v1.upstreams_pb2 import Upstream, UpstreamSecret
from tollway.config.v1 import resources_pb2 as machine
from tollway.resources import project
from tollway.resources.kinds import PRICE, ROUTE, VIRTUAL_KEY


def test_a_key_is_known_by_its_digests() -> None:
    key = VirtualKey(name="teams/a/keys/b", allowed_models=["x*"], expire_time=Timestamp(seconds=5))
    VIRTUAL_KEY.normalize(key)
    projected = project.project_virtual_key(key, 7, digests=[machine.KeyDigest(digest=b"d")], revoked=True)
    assert (projected.name, projected.revision) == ("teams/a/keys/b", 7)
    assert projected.virtual_key == machine.VirtualKey(
        team="teams/a",
        owner="teams/a",
        digests=[machine.KeyDigest(digest=b"d")],
        allowed_models=["x*"],
        expire_time_ms=5000,
        revoked=True,
    )


@pytest.mark.parametrize("expire_time", [Timestamp(), Timestamp(nanos=1), Timestamp(seconds=-86_400)])
def test_a_key_that_expired_before_unix_time_is_not_one_that_never_expires(expire_time: Timestamp) -> None:
    key = VirtualKey(name="teams/a/keys/b", expire_time=expire_time)
    assert project.project_virtual_key(key, 1, digests=[]).virtual_key.expire_time_ms == 1
    key.ClearField("expire_time")
    assert project.project_virtual_key(key, 1, digests=[]).virtual_key.expire_time_ms == 0


def test_the_secret_of_an_upstream_is_a_resource_of_its_own() -> None:
    upstream = Upstream(name="upstreams/a", provider="sim", secret=UpstreamSecret(value="sk-1", fingerprint="f"))
    assert "sk-1" not in str(project.project_upstream(upstream, 1))
    secret = project.project_upstream_secret("upstreams/a", 1, "sk-1")
    assert (secret.name, secret.upstream_secret.value) == ("upstreams/a/secret", "sk-1")


def test_a_route_keeps_its_policy() -> None:
    route = Route(name="routes/r", targets=[Target(upstream="a", weight=0), Target(upstream="b", priority=1)])
    route.timeouts.idle.FromMilliseconds(1500)
    ROUTE.normalize(route)
    projected = project.project_route(route, 3).route
    assert projected.strategy == machine.ROUTE_STRATEGY_WEIGHTED
    assert [(t.upstream, t.model, t.weight, t.priority) for t in projected.targets] == [
        ("upstreams/a", "r", 0, 0),
        ("upstreams/b", "r", 1, 1),
    ]
    assert (projected.retry.max_attempts, projected.fallback.enabled, projected.timeouts.idle_ms) == (3, True, 1500)
    assert projected.timeouts.total_ms == 0


def test_prices_are_exact_integers() -> None:
    price = Price(
        name="prices/p",
        provider="openai",
        model="gpt-*",
        rates=[
            Rate(meter="input", price_usd="2.50"),
            Rate(meter="output", price_usd="0.000015", per=1),
            Rate(meter="request", price_usd="0.01", above_input_tokens=5),
        ],
        effective_from=Timestamp(seconds=9),
    )
    PRICE.normalize(price)
    projected = project.project_price(price, 1).price
    assert [r.nano_usd_per_million for r in projected.rates] == [2_500_000_000, 15_000_000_000, 10_000_000_000_000]
    assert projected.rates[2].above_input_tokens == 5
    assert projected.models[0].glob == "gpt-*"
    assert projected.effective_from_ms == 9000


def test_tiers_bands_and_discounts_reach_the_machine_form() -> None:
    price = Price(
        name="prices/p",
        model="m",
        rates=[Rate(meter="search", price_usd="0.01", service_tier="Flex")],
        band=PriceBand(start_time="23:00", end_time="01:00"),
        discount_percent="0.5",
    )
    PRICE.normalize(price)
    projected = project.project_price(price, 1).price
    assert (projected.rates[0].nano_usd_per_million, projected.rates[0].service_tier) == (10**13, "flex")
    assert projected.band == machine.Band(start_minute=1380, end_minute=60)
    assert projected.discount_ppm == 5_000
    assert not project.project_price(Price(name="prices/q", model="m"), 1).price.HasField("band")


def test_a_model_without_a_star_is_matched_exactly() -> None:
    price = Price(name="prices/p", model="gpt-4", rates=[Rate(meter="input", price_usd="1", per=1000)])
    assert project.project_price(price, 1).price.models[0].exact == "gpt-4"
