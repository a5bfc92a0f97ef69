"""What single resources must satisfy."""

import pytest
from google.protobuf.duration_pb2 import Duration

from tollway.admin.v1.keys_pb2 import VirtualKey, VirtualKeySecret
from tollway.admin.v1.prices_pb2 import Price, PriceBand, Rate
from tollway.admin.v1.routes_pb2 import RetryPolicy, Route, Target, Timeouts
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream, UpstreamSecret
from tollway.resources.kinds import KINDS
from tollway.resources.messages import AdminResource

KEY = "teams/growth/keys/ci"
SIM = "http://127.0.0.1:9/v1"


def fields_wrong(resource: AdminResource) -> list[str]:
    kind = KINDS[type(resource).__name__]
    kind.normalize(resource)
    return [violation.field for violation in kind.validate(resource)]


def route(*targets: Target, **fields: object) -> Route:
    return Route(name="routes/r", targets=targets or [Target(upstream="a")], **fields)  # type: ignore[arg-type]


def price(rate: Rate) -> Price:
    return Price(name="prices/p", model="m", rates=[rate])


@pytest.mark.parametrize(
    "resource",
    [
        Team(name="teams/growth", display_name="Growth 🚀", labels={"cost-center": "12"}),
        VirtualKey(name=KEY, owner="growth", allowed_models=["gpt-*", "sim/*"], metadata={"app": "x"}),
        VirtualKey(name=KEY, secret=VirtualKeySecret(ref="file:/run/secrets/ci")),
        Upstream(name="upstreams/a", provider="openai", secret=UpstreamSecret(ref="env:OPENAI_API_KEY")),
        Upstream(name="upstreams/a", provider="openai", secret=UpstreamSecret(value="sk-1")),
        Upstream(name="upstreams/a", provider="openai", base_url=SIM),
        Upstream(
            name="upstreams/a", provider="openai_compatible", base_url=SIM, headers={"X-Title": "t"}, models=["*"]
        ),
        route(Target(upstream="a"), Target(upstream="upstreams/b", weight=0, priority=2)),
        route(timeouts=Timeouts(total=Duration(seconds=600), idle=Duration(nanos=1_000_000))),
        price(Rate(meter="input", price_usd="2.50")),
        price(Rate(meter="request", price_usd="0.01")),
        price(Rate(meter="output", price_usd="0.000002", per=1)),
        price(Rate(meter="output", price_usd="0")),
        price(Rate(meter="output_image", price_usd="40", service_tier="Flex")),
        Price(
            name="prices/p",
            model="m",
            rates=[
                Rate(meter="input", price_usd="1"),
                Rate(meter="input", price_usd="2", service_tier="priority"),
                Rate(meter="input", price_usd="3", service_tier="priority", above_input_tokens=200_000),
            ],
            band=PriceBand(start_time="16:30", end_time="00:30", weekdays=["sat"]),
            discount_percent="12.5",
        ),
        Price(name="prices/p", model="*", discount_percent="7"),
    ],
)
def test_what_is_right(resource: AdminResource) -> None:
    assert fields_wrong(resource) == []


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        (Team(name="teams/UPPER"), "name"),
        (Team(name="teams/a", display_name="x" * 129), "display_name"),
        (Team(name="teams/a", display_name="two\nlines"), "display_name"),
        (Team(name="teams/a", labels={"": "x"}), "labels."),
        (Team(name="teams/a", labels={"a": "x" * 129}), "labels.a"),
        (Team(name="teams/a", labels={f"l{i}": "x" for i in range(65)}), "labels"),
        (VirtualKey(name=KEY, owner="teams/other"), "owner"),
        (VirtualKey(name=KEY, owner="users/ann"), "owner"),
        (VirtualKey(name=KEY, secret=VirtualKeySecret(ref="twk_abc")), "secret.ref"),
        (VirtualKey(name=KEY, secret=VirtualKeySecret(ref="file:relative")), "secret.ref"),
        (VirtualKey(name=KEY, secret=VirtualKeySecret(ref="env:A B")), "secret.ref"),
        (VirtualKey(name=KEY, allowed_models=["a", "a"]), "allowed_models[1]"),
        (VirtualKey(name=KEY, allowed_models=[""]), "allowed_models[0]"),
        (VirtualKey(name=KEY, allowed_models=["a b"]), "allowed_models[0]"),
        (VirtualKey(name=KEY, allowed_models=["x", ".."]), "allowed_models[1]"),
        (VirtualKey(name=KEY, allowed_models=["a\x00"]), "allowed_models[0]"),
        (VirtualKey(name=KEY, metadata={f"m{i}": "x" for i in range(17)}), "metadata"),
        (VirtualKey(name=KEY, metadata={"a": "x" * 129}), "metadata.a"),
        (Upstream(name="upstreams/a", base_url=SIM), "provider"),
        (Upstream(name="upstreams/a", provider="acme", base_url=SIM), "provider"),
        (Upstream(name="upstreams/a", provider="openai"), "secret"),
        (Upstream(name="upstreams/a", provider="sim"), "base_url"),
        (Upstream(name="upstreams/a", provider="sim", base_url="ftp://x"), "base_url"),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, options={"project": "p"}), "options.project"),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, secret=UpstreamSecret()), "secret"),
        (
            Upstream(name="upstreams/a", provider="sim", base_url=SIM, secret=UpstreamSecret(value="a", ref="env:A")),
            "secret",
        ),
        (
            Upstream(name="upstreams/a", provider="sim", base_url=SIM, secret=UpstreamSecret(value="a\nb")),
            "secret.value",
        ),
        (
            Upstream(name="upstreams/a", provider="sim", base_url=SIM, secret=UpstreamSecret(ref="vault:x")),
            "secret.ref",
        ),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, headers={"Host": "x"}), "headers.host"),
        (
            Upstream(name="upstreams/a", provider="sim", base_url=SIM, headers={"Transfer-Encoding": "x"}),
            "headers.transfer-encoding",
        ),
        (
            Upstream(name="upstreams/a", provider="sim", base_url=SIM, headers={"Authorization": "x"}),
            "headers.authorization",
        ),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, headers={"X-A": "1", "x-a": "2"}), "headers.x-a"),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, headers={"x-a": "1\r\nx: y"}), "headers.x-a"),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, headers={"bad name": "1"}), "headers.bad name"),
        (Upstream(name="upstreams/a", provider="sim", base_url=SIM, models=["a", "a"]), "models[1]"),
        (
            Upstream(
                name="upstreams/a", provider="sim", base_url=SIM, secret=UpstreamSecret(ref="env:TOLLWAY_PLANE_TOKEN")
            ),
            "secret.ref",
        ),
        (Route(name="routes/r"), "targets"),
        (route(Target(upstream="a", weight=0)), "targets"),
        (route(Target(upstream="a", weight=-1)), "targets[0].weight"),
        (route(Target(upstream="a", priority=-1)), "targets[0].priority"),
        (route(Target()), "targets[0].upstream"),
        (route(Target(upstream="teams/a")), "targets[0].upstream"),
        (route(model="two words"), "model"),
        (route(Target(upstream="a", model="..")), "targets[0].model"),
        (route(retry=RetryPolicy(max_attempts=11)), "retry.max_attempts"),
        (route(retry=RetryPolicy(max_attempts=-1)), "retry.max_attempts"),
        (route(timeouts=Timeouts(total=Duration())), "timeouts.total"),
        (route(timeouts=Timeouts(idle=Duration(seconds=-1))), "timeouts.idle"),
        (Price(name="prices/p", model="m"), "rates"),
        (Price(name="prices/p", rates=[Rate(meter="input", price_usd="1")]), "model"),
        (Price(name="prices/p", model="m", provider="x", rates=[Rate(meter="input", price_usd="1")]), "provider"),
        (price(Rate(meter="tokens", price_usd="1")), "rates[0].meter"),
        (price(Rate(meter="input", price_usd="1,5")), "rates[0].price_usd"),
        (price(Rate(meter="input", price_usd="-1")), "rates[0].price_usd"),
        (price(Rate(meter="input", price_usd="1", per=3)), "rates[0].price_usd"),
        (price(Rate(meter="input", price_usd="1", service_tier="no such")), "rates[0].service_tier"),
        (Price(name="prices/p", model="m"), "rates"),
        (Price(name="prices/p", model="m", discount_percent="0"), "discount_percent"),
        (Price(name="prices/p", model="m", discount_percent="101"), "discount_percent"),
        (
            Price(
                name="prices/p",
                model="m",
                rates=[
                    Rate(meter="input", price_usd="1"),
                    Rate(meter="input", price_usd="2", service_tier="default"),
                ],
            ),
            "rates[1]",
        ),
        (
            Price(name="prices/p", model="m", discount_percent="1", band=PriceBand(start_time="9", end_time="10:00")),
            "band.start_time",
        ),
        (price(Rate(meter="input", price_usd="1", per=-3)), "rates[0].per"),
        (price(Rate(meter="input", price_usd="9999999999", per=1)), "rates[0].price_usd"),
        (price(Rate(meter="input", price_usd="1", above_input_tokens=-1)), "rates[0].above_input_tokens"),
        (
            Price(
                name="prices/p",
                model="m",
                rates=[Rate(meter="input", price_usd="1"), Rate(meter="input", price_usd="2")],
            ),
            "rates[1]",
        ),
    ],
)
def test_what_is_wrong(resource: AdminResource, field: str) -> None:
    assert field in fields_wrong(resource)


def test_all_violations_come_at_once() -> None:
    bad = Upstream(name="upstreams/a", provider="nope", base_url="ftp://x", headers={"host": "x"}, display_name="\n")
    assert set(fields_wrong(bad)) == {"provider", "base_url", "headers.host", "display_name"}


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        ("sim", "http://h/{}"),
        ("sim", "http://h/{"),
        ("sim", "http://h/}"),
        ("sim", "http://h/}{"),
        ("sim", "http://h/{{model}}"),
        ("sim", "http://h/{model"),
        ("sim", "http://h/{0}"),
        ("sim", "http://h/{model!r}"),
        ("sim", "http://h/{model:>9}"),
        ("sim", "http://h/{model.__class__}"),
        ("sim", "http://h/{ model }"),
        ("sim", "http://h/{project}"),
        ("azure-openai", "https://r.svc/{project}"),
        ("sim", "http://{model}/v1"),
        ("sim", "http://a.{model}.example/v1"),
        ("sim", "http://{model}:80/v1"),
        ("sim", "http://["),
        ("vertex-ai", "http://["),
    ],
)
def test_base_urls_that_cannot_be_filled_in(provider: str, base_url: str) -> None:
    assert fields_wrong(Upstream(name="upstreams/a", provider=provider, base_url=base_url)) == ["base_url"]


@pytest.mark.parametrize(
    ("base_url", "fields"),
    [
        ("http://h/{model}/v1", []),
        ("http://h/{region}/v1", ["region"]),
        ("https://{location}.h.example/{project}", ["options.location", "options.project"]),
    ],
)
def test_base_urls_may_name_what_the_provider_has(base_url: str, fields: list[str]) -> None:
    assert fields_wrong(Upstream(name="upstreams/a", provider="vertex-ai", base_url=base_url)) == fields


@pytest.mark.parametrize(
    ("base_url", "fields"),
    [
        ("https://api.openai.com/v1", ["secret"]),
        ("https://API.openai.com.:443/v1/", ["secret"]),
        ("https://eu.api.openai.com/v1", []),
        ("https://api.openai.com:8443/v1", []),
    ],
)
def test_a_place_needs_its_secret_where_it_is_spelled_out_too(base_url: str, fields: list[str]) -> None:
    upstream = Upstream(name="upstreams/a", provider="openai", base_url=base_url)
    assert fields_wrong(upstream) == fields
    upstream.secret.ref = "env:OPENAI_API_KEY"
    assert fields_wrong(upstream) == []
