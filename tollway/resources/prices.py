"""What a price must satisfy on its own."""

from collections.abc import Iterable, Iterator

from tollway.admin.v1.prices_pb2 import Price, Rate
from tollway.kernel.service_tiers import is_tier
from tollway.resources.bands import band_violations
from tollway.resources.common_fields import validate_common, validate_model
from tollway.resources.providers import PROVIDERS, unknown_provider
from tollway.resources.rates import METER_WORDS, discount_ppm, rate_problem
from tollway.resources.violations import Violation


def validate_price(price: Price) -> Iterator[Violation]:
    yield from validate_common(price)
    if price.provider and price.provider not in PROVIDERS:
        yield Violation("provider", unknown_provider(price.provider))
    yield from validate_model("model", price.model)
    yield from _validate_discount(price)
    if price.HasField("band"):
        yield from band_violations("band", price.band)
    yield from rate_violations("rates", price.rates)


def rate_violations(path: str, rates: Iterable[Rate]) -> Iterator[Violation]:
    """What is wrong with the rates at `path`, alone and together."""
    seen: set[tuple[str, str, int]] = set()
    for index, rate in enumerate(rates):
        here = f"{path}[{index}]"
        yield from _validate_rate(here, rate)
        identity = (rate.meter, rate.service_tier, rate.above_input_tokens)
        if identity in seen:
            tier = f" of tier {rate.service_tier}" if rate.service_tier else ""
            yield Violation(here, f"{rate.meter}{tier} above {rate.above_input_tokens} input tokens has a rate already")
        seen.add(identity)


def _validate_discount(price: Price) -> Iterator[Violation]:
    if not price.discount_percent:
        if not price.rates:
            text = (
                "needs at least one rate, {meter, price_usd}, or set discount_percent to take it off the book's rates"
            )
            yield Violation("rates", text)
        return
    try:
        discount = discount_ppm(price.discount_percent)
    except ValueError as error:
        yield Violation("discount_percent", str(error))
        return
    if not discount and not price.rates:
        yield Violation("discount_percent", "is 0 and there are no rates, so that it would change nothing")


def _validate_rate(path: str, rate: Rate) -> Iterator[Violation]:
    if rate.meter not in METER_WORDS:
        yield Violation(f"{path}.meter", f'"{rate.meter}" is not one of {", ".join(METER_WORDS)}')
    if rate.above_input_tokens < 0:
        yield Violation(f"{path}.above_input_tokens", "must be 0 or more")
    if rate.service_tier and not is_tier(rate.service_tier):
        text = "must be a lower-case word as the upstream reports it, e.g. flex, priority or batch"
        yield Violation(f"{path}.service_tier", text)
    problem = rate_problem(rate)
    if problem:
        yield Violation(f"{path}.{problem[0]}", problem[1])
