"""Pure: a delta with what it implies for a state spelt out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dataplane.config.state import CompiledState, ConfigDelta
from tollway.config.v1.resources_pb2 import Resource

Forms: TypeAlias = Mapping[str, Resource]
"""Machine resources by full name."""


@dataclass(frozen=True, slots=True)
class Change:
    """Forms to compile, by kind, with those that stand rejected among them; and what is gone, by full name.

    `ref_secrets` are the references to secrets that lead to something else now.
    """

    upserts: Mapping[str, Forms]
    removals: frozenset[str]
    ref_secrets: frozenset[str]

    def of_kind(self, kind: str) -> Forms:
        """`kind` is a field of Resource.kind, or "" for those that this release does not know."""
        return self.upserts.get(kind, {})


def spell_out(state: CompiledState, delta: ConfigDelta) -> Change:
    """What `delta` changes in `state`; a name that it both removes and says stays."""
    gone = frozenset(_known_names(state)) if delta.reset else delta.removals
    removals = gone - delta.upserts.keys()
    upserts: dict[str, dict[str, Resource]] = {}
    for name, rejected in state.rejected.items():
        if name not in removals and name not in delta.upserts:
            upserts.setdefault(_kind(rejected.form), {})[name] = rejected.form
    for name, form in delta.upserts.items():
        upserts.setdefault(_kind(form), {})[name] = form
    return Change(upserts, removals, frozenset(delta.ref_secrets))


def _kind(form: Resource) -> str:
    return form.WhichOneof("kind") or ""


def _known_names(state: CompiledState) -> Iterator[str]:
    yield from state.keys
    yield from state.upstreams
    yield from state.upstream_secrets
    yield from state.routes
    yield from state.prices
    yield from state.books
    yield from state.snapshot.limits.rules
    yield from state.rejected
