"""Short spellings of machine resources."""

from collections.abc import Iterable

from dataplane.config.state import ConfigDelta, Cursor
from tollway.config.v1 import resources_pb2 as machine
from tollway.usage.v1.usage_pb2 import METER_INPUT

EPOCH = "e"


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def key(
    name: str, *digests: int, models: Iterable[str] = (), revoked: bool = False, revision: int = 1
) -> machine.Resource:
    return machine.Resource(
        name=f"teams/t/keys/{name}",
        revision=revision,
        virtual_key=machine.VirtualKey(
            team="teams/t",
            owner="teams/t",
            digests=[machine.KeyDigest(digest=digest(number)) for number in digests],
            allowed_models=models,
            revoked=revoked,
        ),
    )


def upstream(
    name: str, *, region: str = "", provider: str = "sim", secret_ref: str = "", models: Iterable[str] = ()
) -> machine.Resource:
    return machine.Resource(
        name=f"upstreams/{name}",
        revision=1,
        upstream=machine.Upstream(
            provider=provider,
            base_url="" if provider == "openai" else "http://sim/v1",
            region=region,
            secret_ref=secret_ref,
            models=models,
        ),
    )


def upstream_secret(name: str, value: str) -> machine.Resource:
    return machine.Resource(
        name=f"upstreams/{name}/secret", revision=1, upstream_secret=machine.UpstreamSecret(value=value)
    )


def route(name: str, *upstreams: str, model: str = "", attempts: int = 0, revision: int = 1) -> machine.Resource:
    return machine.Resource(
        name=f"routes/{name}",
        revision=revision,
        route=machine.Route(
            model=model or name,
            targets=[machine.Target(upstream=f"upstreams/{u}", model="m", weight=1) for u in upstreams],
            retry=machine.RetryPolicy(max_attempts=attempts),
        ),
    )


def price(name: str, glob: str, nano_usd: int = 1, *, regex: str = "") -> machine.Resource:
    match = machine.ModelMatch(regex=regex) if regex else machine.ModelMatch(glob=glob)
    return machine.Resource(name=f"prices/{name}", revision=1, price=machine_price(match, nano_usd))


def machine_price(match: machine.ModelMatch, nano_usd: int) -> machine.Price:
    rates = [machine.Rate(meter=METER_INPUT, nano_usd_per_million=nano_usd)]
    return machine.Price(provider="sim", models=[match], rates=rates)


def book(
    *rows: tuple[str, machine.ModelMatch], name: str = "default", starts: Iterable[int] = (), nano_usd: int = 7
) -> machine.Resource:
    prices = [machine.BookPrice(id=row_id, price=machine_price(match, nano_usd)) for row_id, match in rows]
    form = machine.PriceBook(prices=prices, effective_from_ms=starts)
    return machine.Resource(name=f"priceBooks/{name}", revision=3, price_book=form)


def rate_limit(
    name: str, match: machine.Match | None = None, *, amount: int = 10, per: Iterable[str] = ()
) -> machine.Resource:
    limit = machine.Limit(unit=machine.LIMIT_UNIT_REQUESTS, amount=amount, window_ms=60_000)
    form = machine.RateLimit(match=match, per=per, limits=[limit], generation="g")
    return machine.Resource(name=f"rateLimits/{name}", revision=1, rate_limit=form)


def budget(
    name: str, match: machine.Match | None = None, *, nano_usd: int = 10, per: Iterable[str] = ()
) -> machine.Resource:
    form = machine.Budget(match=match, per=per, amount_nano_usd=nano_usd, generation="g")
    return machine.Resource(name=f"budgets/{name}", revision=1, budget=form)


def pepper(value: bytes = b"pepper") -> machine.Resource:
    return machine.Resource(name="keyPeppers/default", key_pepper=machine.KeyPepper(pepper=value))


def delta(
    *upserts: machine.Resource,
    removals: Iterable[str] = (),
    reset: bool = False,
    revision: int = 1,
    epoch: str = EPOCH,
) -> ConfigDelta:
    return ConfigDelta(Cursor(epoch, revision), {form.name: form for form in upserts}, frozenset(removals), reset)
