"""What a single resource must satisfy on its own, in normal form: every violation at once, with the field's path."""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.prices_pb2 import Price, Rate
from tollway.admin.v1.routes_pb2 import Route, Target
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.kernel.names import bare_id, is_resource_id
from tollway.kernel.service_tiers import is_tier
from tollway.resources.addresses import base_url_problem
from tollway.resources.bands import band_violations
from tollway.resources.catalog.row import MODEL, REGION
from tollway.resources.messages import AdminResource
from tollway.resources.providers import PROVIDERS, ProviderRow, provider_names
from tollway.resources.rates import METER_WORDS, discount_ppm, rate_problem
from tollway.resources.secret_refs import is_own_variable, secret_ref_problem
from tollway.resources.violations import Violation

MAX_DISPLAY_NAME = 128
MAX_LABELS = 64
MAX_METADATA = 16
MAX_VALUE = 128
MAX_MODEL = 256
MAX_LIST = 256
MAX_HEADERS = 32
MAX_HEADER_VALUE = 4096
MAX_SECRET = 8192
MAX_TARGETS = 64
MAX_WEIGHT = 1_000_000
MAX_ATTEMPTS = 10
MAX_TIMEOUT_S = 86_400

_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
METADATA_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_OWN_HEADERS = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-type",
        "content-encoding",
        "accept-encoding",
        "expect",
    }
)
_CREDENTIAL_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})


def validate_team(team: Team) -> Iterator[Violation]:
    yield from validate_common(team)


def validate_virtual_key(key: VirtualKey) -> Iterator[Violation]:
    yield from validate_common(key)
    team = key.name.rpartition("/keys/")[0]
    if key.owner != team:
        yield Violation(
            "owner", f'"{key.owner}" cannot own a key of this team; leave it empty for the team itself ({team})'
        )
    if key.HasField("secret"):
        problem = secret_ref_problem(key.secret.ref)
        if problem:
            yield Violation("secret.ref", problem)
    yield from _validate_models("allowed_models", key.allowed_models)
    yield from _validate_pairs("metadata", key.metadata, METADATA_KEY, MAX_METADATA)


def validate_upstream(upstream: Upstream) -> Iterator[Violation]:
    yield from validate_common(upstream)
    yield from _validate_place(upstream)
    yield from _validate_secret(upstream)
    yield from _validate_headers(upstream.headers)
    yield from _validate_models("models", upstream.models)
    if len(upstream.region) > MAX_VALUE or _CONTROL.search(upstream.region):
        yield Violation("region", f"must be text of at most {MAX_VALUE} characters")


def _validate_place(upstream: Upstream) -> Iterator[Violation]:
    row = PROVIDERS.get(upstream.provider)
    if row is None:
        said = (
            f'"{upstream.provider}" is not a provider that this release speaks' if upstream.provider else "is required"
        )
        yield Violation("provider", f"{said}; known are {provider_names()}")
    problem = base_url_problem(upstream.base_url) if upstream.base_url else None
    if problem is None and row is not None:
        problem = _template_problem(upstream.base_url, row)
    if problem:
        yield Violation("base_url", problem)
    if row is None:
        return
    if not upstream.base_url and not row.base_url:
        yield Violation("base_url", f"is required: provider {row.name} has no address of its own")
    is_own_place = not upstream.base_url or (not problem and _place(upstream.base_url) == _place(row.base_url))
    if row.needs_secret and is_own_place and not upstream.HasField("secret"):
        yield Violation("secret", f"is required: {row.base_url} takes no calls without one; set `ref` or `value`")
    yield from _validate_options(upstream, row)
    if not problem:
        yield from _validate_address(upstream, row)


def _template_problem(base_url: str, row: ProviderRow) -> str | None:
    """What is wrong with the names in braces in the URL `base_url`, or None."""
    if any(brace in _PLACEHOLDER.sub("", base_url) for brace in "{}"):
        return "has a brace without its pair; braces hold a name, as in {model}"
    valid = sorted({MODEL, REGION, *row.options})
    for name in _PLACEHOLDER.findall(base_url):
        if name not in valid:
            return f'has "{{{name}}}", which nothing fills in; provider {row.name} has {", ".join(valid)}'
    if f"{{{MODEL}}}" in urlsplit(base_url).netloc:
        return f"must not have {{{MODEL}}} in its host, which callers would choose then"
    return None


def _place(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of a URL, so that two spellings of one place are equal."""
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").rstrip("."), port, parts.path.rstrip("/")


def _validate_options(upstream: Upstream, row: ProviderRow) -> Iterator[Violation]:
    for option in sorted(set(upstream.options) - row.options.keys()):
        valid = ", ".join(sorted(row.options)) or "none"
        yield Violation(f"options.{option}", f"unknown option; provider {row.name} has {valid}")


def _validate_address(upstream: Upstream, row: ProviderRow) -> Iterator[Violation]:
    for name in row.missing(upstream.base_url, upstream.region, upstream.options):
        field = f"options.{name}" if name in row.options else name
        yield Violation(field, f"is required: provider {row.name} is called at an address that names it")
    path = row.repeated_path(upstream.base_url, upstream.options)
    if path:
        text = f'ends with "{path}", which is added to it for each call of provider {row.name}; leave that out'
        yield Violation("base_url", text)


def _validate_secret(upstream: Upstream) -> Iterator[Violation]:
    secret = upstream.secret
    if not upstream.HasField("secret") or (secret.fingerprint and not secret.value and not secret.ref):
        return
    if secret.value and secret.ref:
        yield Violation("secret", "set either `value` or `ref`, not both")
    elif secret.ref:
        problem = secret_ref_problem(secret.ref)
        if problem:
            yield Violation("secret.ref", problem)
        elif is_own_variable(secret.ref):
            yield Violation("secret.ref", "variables that begin with TOLLWAY_ are Tollway's own and go to no upstream")
    elif not secret.value:
        yield Violation("secret", "set `ref` (env:NAME or file:/absolute/path) or `value`")
    if (
        len(secret.value) > MAX_SECRET
        or not _HEADER_VALUE.fullmatch(secret.value)
        or secret.value != secret.value.strip()
    ):
        yield Violation(
            "secret.value", f"must be printable ASCII without surrounding spaces, at most {MAX_SECRET} characters"
        )


def _validate_headers(headers: Mapping[str, str]) -> Iterator[Violation]:
    if len(headers) > MAX_HEADERS:
        yield Violation("headers", f"has {len(headers)} entries; at most {MAX_HEADERS} are allowed")
    seen: set[str] = set()
    for name, value in sorted(headers.items()):
        path = f"headers.{name}"
        lowered = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            yield Violation(path, "is not an HTTP header name")
        elif lowered in _OWN_HEADERS or lowered.startswith("x-tollway-"):
            yield Violation(path, "is set by Tollway itself and cannot be overridden")
        elif lowered in _CREDENTIAL_HEADERS:
            yield Violation(path, "carries a credential; use `secret`, which is never shown")
        elif lowered in seen:
            yield Violation(path, "is given twice in different case")
        seen.add(lowered)
        if len(value) > MAX_HEADER_VALUE or not _HEADER_VALUE.fullmatch(value):
            yield Violation(path, f"must be printable ASCII of at most {MAX_HEADER_VALUE} characters")


def validate_route(route: Route) -> Iterator[Violation]:
    yield from validate_common(route)
    yield from _validate_model("model", route.model)
    if not route.targets:
        yield Violation("targets", "needs at least one target: {upstream, model}")
    if len(route.targets) > MAX_TARGETS:
        yield Violation("targets", f"has {len(route.targets)} entries; at most {MAX_TARGETS} are allowed")
    for index, target in enumerate(route.targets):
        yield from _validate_target(f"targets[{index}]", target)
    if route.targets and all(target.weight == 0 for target in route.targets):
        yield Violation("targets", "all weights are 0, so that none would get traffic; give at least one a weight")
    if not 1 <= route.retry.max_attempts <= MAX_ATTEMPTS:
        yield Violation("retry.max_attempts", f"must be from 1 (no retries) to {MAX_ATTEMPTS}")
    for name in ("total", "first_byte", "idle"):
        if route.timeouts.HasField(name):
            yield from _validate_timeout(f"timeouts.{name}", getattr(route.timeouts, name))


def _validate_target(path: str, target: Target) -> Iterator[Violation]:
    collection, _, upstream_id = target.upstream.rpartition("/")
    if not target.upstream:
        yield Violation(f"{path}.upstream", "is required: an upstream's id or full name")
    elif collection != "upstreams" or not is_resource_id(upstream_id):
        yield Violation(f"{path}.upstream", f'"{target.upstream}" is not an upstream; write `a` or `upstreams/a`')
    yield from _validate_model(f"{path}.model", target.model)
    if not 0 <= target.weight <= MAX_WEIGHT:
        yield Violation(f"{path}.weight", f"must be from 0 to {MAX_WEIGHT}")
    if target.priority < 0:
        yield Violation(f"{path}.priority", "must be 0 or more; lower numbers come first")


def _validate_timeout(path: str, timeout: Duration) -> Iterator[Violation]:
    if not 1 <= timeout.ToMilliseconds() <= MAX_TIMEOUT_S * 1000:
        yield Violation(path, f'must be positive, at least "0.001s" and at most "{MAX_TIMEOUT_S}s"')


def validate_price(price: Price) -> Iterator[Violation]:
    yield from validate_common(price)
    if price.provider and price.provider not in PROVIDERS:
        yield Violation("provider", f'"{price.provider}" is not a known provider; known are {provider_names()}')
    yield from _validate_model("model", price.model)
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


def validate_metadata_key(metadata_key: MetadataKey) -> Iterator[Violation]:
    yield from validate_common(metadata_key)
    if not METADATA_KEY.fullmatch(metadata_key.key):
        yield Violation("key", f"must match {METADATA_KEY.pattern}")


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


def validate_common(resource: AdminResource) -> Iterator[Violation]:
    """What is wrong with the fields that every kind has."""
    if not is_resource_id(bare_id(resource.name)):
        yield Violation("name", f'"{bare_id(resource.name)}" must match [a-z0-9][a-z0-9._-]{{0,62}}')
    if len(resource.display_name) > MAX_DISPLAY_NAME or _CONTROL.search(resource.display_name):
        yield Violation("display_name", f"must be text of at most {MAX_DISPLAY_NAME} characters on one line")
    yield from _validate_pairs("labels", resource.labels, _LABEL_KEY, MAX_LABELS)


def _validate_pairs(path: str, pairs: Mapping[str, str], key: re.Pattern[str], most: int) -> Iterator[Violation]:
    if len(pairs) > most:
        yield Violation(path, f"has {len(pairs)} pairs; at most {most} are allowed")
    for name, value in sorted(pairs.items()):
        if not key.fullmatch(name):
            yield Violation(f"{path}.{name}", f"the name must match {key.pattern}")
        if len(value) > MAX_VALUE or _CONTROL.search(value):
            yield Violation(f"{path}.{name}", f"must be text of at most {MAX_VALUE} characters on one line")


def _validate_models(path: str, models: Iterable[str]) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, model in enumerate(models):
        yield from _validate_model(f"{path}[{index}]", model)
        if model in seen:
            yield Violation(f"{path}[{index}]", f'"{model}" is listed twice')
        seen.add(model)
    if len(seen) > MAX_LIST:
        yield Violation(path, f"has {len(seen)} entries; at most {MAX_LIST} are allowed")


def _validate_model(path: str, model: str) -> Iterator[Violation]:
    if not model:
        yield Violation(path, "is required")
    elif len(model) > MAX_MODEL or _CONTROL.search(model) or any(character.isspace() for character in model):
        yield Violation(path, f"must be at most {MAX_MODEL} characters without whitespace")
