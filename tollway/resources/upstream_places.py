"""Where an upstream is: base URLs that cannot be called, and what they should have been."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.resources.addresses import base_url_problem, is_private_host
from tollway.resources.catalog.row import MODEL, REGION
from tollway.resources.providers import PROVIDERS, ProviderRow
from tollway.resources.violations import Violation

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_VERSION_HEAD = re.compile(r"/v\d+[a-z0-9]*/")
_VERSION_END = re.compile(r"/v\d+[a-z0-9]*$")
_LEAST_COPIED = 2
"""Segments of an end that nobody mounts a server of their own under."""
_OPENAI = "openai"
_USUAL_PORTS = {"ollama": 11434, "vllm": 8000, "sglang": 30000}
"""Where servers listen that have OpenAI's API below /v1, and something else or nothing beside it."""
_OPENAI_ROOT = "/v1"
_OTHER_ROOTS = frozenset(("", "/api"))
_OTHER_ENDPOINTS = ("/messages", "/responses", "/api/chat", "/api/generate", "/invocations")
"""Ends of addresses that people copy, and that are paths of no provider in the catalog."""
_BEFORE_ENDPOINTS = re.compile(r"^(/openai)?/v1(?=/)")
"""What base URLs of OpenAI's format end with, and other providers' paths begin with."""


def validate_place(upstream: Upstream, row: ProviderRow | None) -> Iterator[Violation]:
    """What is wrong with where `upstream` is; `row` is its provider's, None where that is not known."""
    base_url = upstream.base_url
    if not base_url:
        if row is not None and not row.base_url:
            yield Violation("base_url", f"is required: provider {row.name} has no address of its own")
    else:
        problem = base_url_problem(base_url)
        if problem is None and row is not None:
            problem = _template_problem(base_url, row) or _address_problem(upstream, row)
        if problem:
            yield Violation("base_url", problem)
            return
    if row is not None:
        for name in row.missing(base_url, upstream.region, upstream.options):
            field = f"options.{name}" if name in row.options else name
            yield Violation(field, f"is required: provider {row.name} is called at an address that names it")


def is_own_place(upstream: Upstream, row: ProviderRow) -> bool:
    """Whether `upstream` is where its provider itself answers, which never takes a call without a credential."""
    if not upstream.base_url:
        return True
    if base_url_problem(upstream.base_url):
        return False
    if row.base_url:
        return _place(upstream.base_url) == _place(row.base_url)
    return _own_path(upstream.base_url, row) is not None


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


def _address_problem(upstream: Upstream, row: ProviderRow) -> str | None:
    """Why nothing answers calls at the well-formed `base_url`, or nobody should be called there."""
    base_url = upstream.base_url
    mended = _mended(base_url, upstream, row)
    if mended != base_url:
        tail = _endpoint_tail(base_url, upstream, row) or base_url.removeprefix(mended)
        is_cut = tail != base_url
        why = f'ends with "{tail}", and paths are added to it' if is_cut else "lacks the path that others are added to"
        return f'{why} for each call of provider {row.name}; did you mean "{mended}"?'
    parts, here = urlsplit(base_url), row.at("", upstream.options)
    is_secret_sent = bool(here.credentials) or upstream.HasField("secret")
    is_public = bool(here.base_url or here.credentials or here.needs_secret)
    if parts.scheme == "http" and is_public and is_secret_sent and not is_private_host(parts.hostname or ""):
        return (
            "would have calls and their credential sent in the clear; begin it with https://, or name it "
            "NAME.NAMESPACE.svc where it is in your own cluster"
        )
    return None


def _mended(base_url: str, upstream: Upstream, row: ProviderRow) -> str:
    """`base_url` without the ends of addresses that are copied too far, and with the path that is left out."""
    while tail := _endpoint_tail(base_url, upstream, row):
        base_url = base_url.rstrip("/").removesuffix(tail)
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    here = row.at("", upstream.options)
    own = _own_path(base_url, here)
    if parts.port is not None and parts.port == _USUAL_PORTS.get(row.name) and path in _OTHER_ROOTS:
        meant = _OPENAI_ROOT
    else:
        meant = path if own is None else _home_path(path, own, here)
    return base_url if meant == path else base_url.rstrip("/").removesuffix(path) + meant


def _endpoint_tail(base_url: str, upstream: Upstream, row: ProviderRow) -> str:
    """The path of an endpoint that `base_url` ends with, of `row` rather than of other providers; "" for none."""
    path = urlsplit(base_url).path.rstrip("/")
    tail = row.repeated_path(base_url, upstream.options) or _others_tail(path, row)
    is_own_server = not row.base_url and not row.homes
    if is_own_server and tail.count("/") < _LEAST_COPIED and not _VERSION_END.search(path.removesuffix(tail)):
        return ""
    return tail


def _others_tail(path: str, row: ProviderRow) -> str:
    """The path of an endpoint of others that `path` ends with, without what is before `row`'s own; "" for none."""
    others = [tail for other in PROVIDERS.values() if (tail := other.endpoint_path(path))]
    others += [tail for tail in _OTHER_ENDPOINTS if path.endswith(tail)]
    tail = max(others, key=len, default="")
    return _BEFORE_ENDPOINTS.sub("", tail) if row.dialect == _OPENAI else tail


def _own_path(base_url: str, row: ProviderRow) -> str | None:
    """The path of the provider's own base URL where `base_url` is at its domain, None elsewhere."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    for own in (row.base_url,) if row.base_url else row.homes:
        parts = urlsplit(own)
        domain = ".".join(parts.netloc.split(".")[-2:]) if row.base_url else parts.netloc
        if f".{host}".endswith(f".{domain}"):
            return parts.path
    return None


def _home_path(path: str, own: str, row: ProviderRow) -> str:
    """`path` at the provider's domain, where it is `own`, with the rest of that where it begins so.

    It is `own` where something goes on behind that at a home, or where it ends with a version as the paths begin.
    """
    given, wanted = path.split("/"), own.split("/")
    pairs = zip(given, wanted, strict=False)
    if len(given) <= len(wanted) and all(has == wants or _PLACEHOLDER.fullmatch(wants) for has, wants in pairs):
        return "/".join((*given, *wanted[len(given) :]))
    is_behind = bool(own and row.homes) and path.startswith(f"{own}/")
    is_version_twice = _VERSION_END.search(path) and any(_VERSION_HEAD.match(each) for each in row.paths.values())
    return own if is_behind or is_version_twice else path


def _place(url: str) -> tuple[str, int | None, str]:
    """Host, port and path of a URL, so that two spellings of one place are equal; port None is the scheme's."""
    parts = urlsplit(url)
    port = None if parts.port == _DEFAULT_PORTS.get(parts.scheme) else parts.port
    return (parts.hostname or "").rstrip("."), port, parts.path.rstrip("/")
