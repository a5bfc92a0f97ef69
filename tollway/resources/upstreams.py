"""What an upstream must satisfy on its own: nothing is accepted that is known to work with no model at all."""

import re
from collections.abc import Iterator, Mapping

from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.resources.catalog.forms import HOST_LABEL
from tollway.resources.catalog.row import ALWAYS, REGION, SIGNED, placeholders
from tollway.resources.common_fields import CONTROL, MAX_VALUE, validate_common, validate_models
from tollway.resources.providers import PROVIDERS, ProviderRow, provider_names, unknown_provider
from tollway.resources.secret_refs import is_own_variable, secret_ref_problem
from tollway.resources.spelling import MAX_GUESSES, did_you_mean
from tollway.resources.upstream_places import is_own_place, validate_place
from tollway.resources.violations import Violation

MAX_HEADERS = 32
MAX_HEADER_VALUE = 4096
MAX_SECRET = 8192

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_TEXT_VALUE = re.compile(r"[\t\n\r\x20-\x7e]*")
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
"""Those that `secret` takes the place of; keys of gateways before a provider have no other place than a header."""


def validate_upstream(upstream: Upstream) -> Iterator[Violation]:
    row = PROVIDERS.get(upstream.provider)
    yield from validate_common(upstream)
    if row is None:
        known = f"is required; known are {provider_names()}"
        yield Violation("provider", unknown_provider(upstream.provider) if upstream.provider else known)
    yield from validate_place(upstream, row)
    here = None if row is None else row.at("", upstream.options)
    yield from _validate_secret(upstream, here)
    yield from _validate_region(upstream, here)
    if here is not None:
        yield from _validate_options(upstream, here)
        yield from _validate_together(upstream, here)
    yield from _validate_headers(upstream.headers)
    yield from validate_models("models", upstream.models)


def _validate_region(upstream: Upstream, row: ProviderRow | None) -> Iterator[Violation]:
    form = None if row is None else row.forms.get(REGION)
    if form is None and REGION in placeholders(upstream.base_url):
        form = HOST_LABEL
    problem = form.problem(upstream.region) if form is not None and upstream.region else None
    if problem is None and (len(upstream.region) > MAX_VALUE or CONTROL.search(upstream.region)):
        problem = f"must be text of at most {MAX_VALUE} characters"
    if problem:
        yield Violation(REGION, problem)


def _validate_options(upstream: Upstream, row: ProviderRow) -> Iterator[Violation]:
    """`row` is as it is for the options."""
    own_fields = upstream.DESCRIPTOR.fields_by_name
    unknown = 0
    for option, value in sorted(upstream.options.items()):
        form = row.forms.get(option)
        if option in row.options:
            problem = form.problem(value) if form is not None and value else None
        elif option in own_fields:
            problem = f"is no option; write `{option}` beside `options`"
        else:
            unknown += 1
            meant = did_you_mean(option, row.options) if unknown <= MAX_GUESSES else ""
            valid = ", ".join(sorted(row.options)) or "none"
            problem = f"unknown option; {meant}provider {row.name} has {valid}"
        if problem:
            yield Violation(f"options.{option}", problem)


def _validate_together(upstream: Upstream, row: ProviderRow) -> Iterator[Violation]:
    """What must be given besides what is given, and what must not; `row` is as it is for the options."""
    given = {name for name, value in upstream.options.items() if value and name in row.options}
    given |= {name for name, is_given in _fields_given(upstream).items() if is_given}
    named = row.missing(upstream.base_url, upstream.region, upstream.options)
    for name, needed in row.needs.items():
        if name == SIGNED and _may_bear_secret(upstream, row):
            continue
        missing = [_path(each, row) for each in needed if each not in given and each not in named]
        if not missing:
            continue
        if name in (ALWAYS, SIGNED):
            yield from (Violation(path, f"is required by provider {row.name}{_exception(row)}") for path in missing)
        elif name in given:
            yield Violation(
                _path(name, row), f"counts only with {' and '.join(missing)}; give that too, or leave this out"
            )
    for one, other in row.apart:
        if {one, other} <= given:
            yield Violation(_path(one, row), f"cannot be given together with {_path(other, row)}; leave one out")


def _may_bear_secret(upstream: Upstream, row: ProviderRow) -> bool:
    """Whether requests may bear the secret as it is, as far as it is known."""
    if row.borne is None or not upstream.HasField("secret"):
        return False
    return not upstream.secret.value or row.borne.problem(upstream.secret.value) is None


def _fields_given(upstream: Upstream) -> Mapping[str, bool]:
    return {"secret": upstream.HasField("secret"), REGION: bool(upstream.region)}


def _path(name: str, row: ProviderRow) -> str:
    return f"options.{name}" if name in row.options else name


def _exception(row: ProviderRow) -> str:
    """What does away with what the provider needs, for messages."""
    cases = [case for case in PROVIDERS[row.name].cases if case.needs.get(ALWAYS) == ()]
    exceptions = [f"options.{case.option} is {case.value}" for case in cases]
    if row.borne is not None and row.needs.get(SIGNED):
        exceptions.append(f"the secret is {row.borne.words}")
    return f", unless {' or '.join(exceptions)}" if exceptions else ""


def _validate_secret(upstream: Upstream, row: ProviderRow | None) -> Iterator[Violation]:
    """`row` is as it is for the options."""
    secret = upstream.secret
    if not upstream.HasField("secret"):
        if row is not None and row.needs_secret and is_own_place(upstream, row):
            yield Violation("secret", _required_secret(row))
        return
    if secret.fingerprint and not secret.value and not secret.ref:
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
    problem = _secret_value_problem(secret.value, row) if secret.value else None
    if problem:
        yield Violation("secret.value", problem)


def _required_secret(row: ProviderRow) -> str:
    """Why there must be one, and what else would do."""
    cases = [case for case in PROVIDERS[row.name].cases if case.option and case.credentials]
    other = "".join(f", or options.{case.option} to {case.value}" for case in cases)
    return (
        f"is required: {row.base_url or f'provider {row.name}'} takes no calls without one; set `ref` or `value`{other}"
    )


def _secret_value_problem(value: str, row: ProviderRow | None) -> str | None:
    """What is wrong with `value`, which is not repeated. Where it is sent, it is a header's."""
    is_sent = row is None or not row.credentials
    is_plain = _HEADER_VALUE.fullmatch(value) and value == value.strip() if is_sent else _TEXT_VALUE.fullmatch(value)
    if len(value) > MAX_SECRET or not is_plain:
        return f"must be printable ASCII without surrounding spaces, at most {MAX_SECRET} characters"
    form = None if row is None else row.forms.get("secret")
    return None if form is None else form.problem(value)


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
