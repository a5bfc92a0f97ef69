"""Pure: one machine resource into its compiled form, or a ValueError that says why it does not compile."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from dataplane.config.state import RefSecrets, Unresolved
from dataplane.snapshot import KeyEntry, Route, RouteTimeouts, Secret, Strategy, Target, Upstream, VirtualKey
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.globs import compile_globs
from tollway.kernel.names import bare_id
from tollway.resources.addresses import with_lower_origin
from tollway.resources.providers import PROVIDERS, provider_names

DIGEST_BYTES = 32
DEFAULT_MAX_ATTEMPTS = 3
_NO_METADATA: Mapping[str, str] = MappingProxyType({})


class KeyCompiler:
    """Compiles keys; equal patterns and names of the keys that it compiled are one object, as most keys share them."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[str, ...], re.Pattern[str] | None] = {}
        self._names: dict[str, str] = {}

    def compile(self, resource: machine.Resource) -> list[tuple[bytes, KeyEntry]]:
        """The key's digests, each with what it leads to."""
        form = resource.virtual_key
        team = self._names.setdefault(form.team, form.team)
        if not team:
            raise ValueError("belongs to no team")
        owner = form.owner or team
        key = VirtualKey(
            name=resource.name,
            team=team,
            owner=self._names.setdefault(owner, owner),
            allowed_models=self._pattern(tuple(form.allowed_models)) if form.allowed_models else None,
            metadata=dict(form.metadata) or _NO_METADATA,
            expire_time_ms=form.expire_time_ms,
            revoked=form.revoked,
        )
        entries = [(digest.digest, KeyEntry(key, digest.expire_time_ms)) for digest in form.digests]
        if any(len(digest) != DIGEST_BYTES for digest, _ in entries):
            raise ValueError(f"has a digest that is not {DIGEST_BYTES} bytes long")
        return entries

    def _pattern(self, globs: tuple[str, ...]) -> re.Pattern[str] | None:
        if globs not in self._patterns:
            self._patterns[globs] = compile_globs(globs)
        return self._patterns[globs]


def compile_upstream(
    resource: machine.Resource, stored_secrets: Mapping[str, Secret], ref_secrets: RefSecrets
) -> Upstream:
    """`stored_secrets` are by the upstream's full name."""
    form = resource.upstream
    row = PROVIDERS.get(form.provider)
    if row is None:
        raise ValueError(f'provider "{form.provider}" is none that this release speaks; it speaks {provider_names()}')
    row = row.at("", dict(form.options))
    base_url = with_lower_origin(form.base_url.rstrip("/")) or row.base_url
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f'base_url "{base_url}" is not an absolute http(s) URL')
    secret = _upstream_secret(resource, stored_secrets, ref_secrets)
    if not secret and row.needs_secret and base_url == row.base_url:
        raise ValueError(f"has no secret, and {base_url} takes no calls without one")
    return Upstream(
        name=resource.name,
        id=bare_id(resource.name),
        provider=row.name,
        base_url=base_url,
        region=form.region,
        headers=dict(form.headers),
        listed_models=tuple(model for model in form.models if "*" not in model),
        admitted_models=compile_globs(form.models),
        options=dict(form.options),
        secret=secret,
    )


def _upstream_secret(
    resource: machine.Resource, stored_secrets: Mapping[str, Secret], ref_secrets: RefSecrets
) -> Secret:
    ref = resource.upstream.secret_ref
    if not ref:
        return stored_secrets.get(resource.name, Secret(""))
    secret = ref_secrets.get(ref, Unresolved(f"{ref} was not read"))
    if isinstance(secret, Unresolved):
        raise ValueError(f"its secret is not to be had: {secret.reason}")
    return secret


def compile_route(resource: machine.Resource, upstreams: Mapping[str, Upstream]) -> Route:
    """`upstreams` are those in force, by full name."""
    form = resource.route
    if not form.model:
        raise ValueError("has no model")
    if not form.targets:
        raise ValueError("has no targets")
    if form.retry.max_attempts < 0:
        raise ValueError(f"retry.max_attempts is {form.retry.max_attempts}, below 0")
    targets = sorted((_compile_target(target, upstreams) for target in form.targets), key=lambda t: t.priority)
    return Route(
        name=resource.name,
        model=form.model,
        strategy=_strategy(form.strategy),
        targets=tuple(targets),
        max_attempts=form.retry.max_attempts or DEFAULT_MAX_ATTEMPTS,
        fallback=form.fallback.enabled if form.HasField("fallback") else True,
        timeouts=RouteTimeouts(
            total_s=_seconds(form.timeouts.total_ms),
            first_byte_s=_seconds(form.timeouts.first_byte_ms),
            idle_s=_seconds(form.timeouts.idle_ms),
        ),
    )


def _compile_target(form: machine.Target, upstreams: Mapping[str, Upstream]) -> Target:
    upstream = upstreams.get(form.upstream)
    if upstream is None:
        raise ValueError(f'its target "{form.upstream}" does not exist, or is rejected itself')
    if not form.model:
        raise ValueError(f'its target "{form.upstream}" has no model')
    if form.weight < 0:
        raise ValueError(f'its target "{form.upstream}" has weight {form.weight}, below 0')
    return Target(upstream, form.model, form.weight, form.priority)


def _strategy(value: int) -> Strategy:
    try:
        return Strategy(value or Strategy.WEIGHTED)
    except ValueError:
        raise ValueError(f"strategy {value} is none that this release knows") from None


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds > 0 else None
