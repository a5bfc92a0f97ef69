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
_USUAL_PORTS = {"ollama": 11434, "vllm": 8000, "sglang": 30000}
"""Where servers listen that have OpenAI's API below /v1, and something else or nothing beside it."""
_OPENAI_ROOT = "/v1"
_OTHER_ROOTS = frozenset(("", "/api"))
_OTHER_ENDPOINTS = ("/messages", "/responses", "/api/chat", "/api/generate", "/invocations")
"""Ends of addresses that people copy, and that are paths of no provider in the catalog."""


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
    return not is_private_host(urlsplit(upstream.base_url).hostname or "")


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
        tail = _endpoint_tail(base_url, upstream, row)
        why = f'ends with "{tail}", and paths are added to it' if tail else "lacks the path that others are added to"
        return f'{why} for each call of provider {row.name}; did you mean "{mended}"?'
    parts, here = urlsplit(base_url), row.at("", upstream.options)
    is_secret_sent = bool(here.credentials) or upstream.HasField("secret")
    is_public = bool(here.base_url or here.credentials or here.needs_secret)
    if parts.scheme == "http" and is_public and is_secret_sent and not is_private_host(parts.hostname or ""):
        return "would have calls and their credential sent in the clear; begin it with https://"
    return None


def _mended(base_url: str, upstream: Upstream, row: ProviderRow) -> str:
    """`base_url` without the ends of addresses that are copied too far, and with the path that is left out."""
    while tail := _endpoint_tail(base_url, upstream, row):
        base_url = base_url.rstrip("/").removesuffix(tail)
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    if parts.port is not None and parts.port == _USUAL_PORTS.get(row.name) and path in _OTHER_ROOTS:
        return base_url.rstrip("/").removesuffix(path) + _OPENAI_ROOT
    own = row.at("", upstream.options).base_url
    if not path and urlsplit(own).path and _is_host_of(base_url, own):
        return own
    return base_url


def _endpoint_tail(base_url: str, upstream: Upstream, row: ProviderRow) -> str:
    """The path of an endpoint that `base_url` ends with, of `row` rather than of other providers; "" for none."""
    own = row.repeated_path(base_url, upstream.options)
    if own:
        return own
    path = urlsplit(base_url).path.rstrip("/")
    others = [tail for other in PROVIDERS.values() if (tail := other.endpoint_path(path))]
    others += [tail for tail in _OTHER_ENDPOINTS if path.endswith(tail)]
    return max(others, key=len, default="")


def _is_host_of(base_url: str, template: str) -> bool:
    """Whether the host of `base_url` is that of `template` with something in place of its braces."""
    pattern = _PLACEHOLDER.sub("[^.]+", re.escape(urlsplit(template).netloc).replace(r"\{", "{").replace(r"\}", "}"))
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    return re.fullmatch(pattern, host) is not None


def _place(url: str) -> tuple[str, int | None, str]:
    """Host, port and path of a URL, so that two spellings of one place are equal; port None is the scheme's."""
    parts = urlsplit(url)
    port = None if parts.port == _DEFAULT_PORTS.get(parts.scheme) else parts.port
    return (parts.hostname or "").rstrip("."), port, parts.path.rstrip("/")
