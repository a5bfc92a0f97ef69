"""What compiling takes and gives: a change of configuration, and everything compiled so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from dataplane.snapshot import Route, Secret, Snapshot, Upstream
from tollway.config.v1.resources_pb2 import Resource
from tollway.kernel.price_index import PriceBook
from tollway.kernel.pricing import Price


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the history of one control-plane database."""

    epoch: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A resource whose new form is not in force, and why; `reason` holds no secret."""

    name: str
    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A reference to a secret that leads to none; `reason` names the variable or the path."""

    reason: str


RefSecrets: TypeAlias = Mapping[str, Secret | Unresolved]
"""By reference, "env:NAME" or "file:PATH"."""


@dataclass(frozen=True, slots=True)
class ConfigDelta:
    """What one update changes.

    With `reset` the upserts are the full state, and what they do not name is gone. `ref_secrets` are the references
    whose secrets changed, among them those that the upserts name for the first time.
    """

    cursor: Cursor
    upserts: Mapping[str, Resource] = field(default_factory=dict, repr=False)
    removals: frozenset[str] = frozenset()
    reset: bool = False
    ref_secrets: RefSecrets = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A form that is not in force, kept because a later change may mend what it lacks."""

    form: Resource = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class RouteForms:
    """A route as it was said last, and as it last compiled; None when it never did."""

    latest: Resource
    good: Resource | None


@dataclass(frozen=True, slots=True)
class CompiledState:
    """The snapshot and what it was compiled from, by full resource name.

    `keys` holds the digests of each key, `upstreams` and `routes` the latest forms, whatever is in force of them,
    `upstream_secrets` by upstream the values that came over the feed, `prices` and `books` what last compiled of them,
    and `rejected` every form that is not in force.
    """

    snapshot: Snapshot = field(default_factory=Snapshot)
    keys: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    upstreams: Mapping[str, Resource] = field(default_factory=dict)
    upstreams_in_force: Mapping[str, Upstream] = field(default_factory=dict)
    upstream_secrets: Mapping[str, Secret] = field(default_factory=dict)
    ref_secrets: RefSecrets = field(default_factory=dict, repr=False)
    routes: Mapping[str, RouteForms] = field(default_factory=dict)
    routes_in_force: Mapping[str, Route] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    books: Mapping[str, PriceBook] = field(default_factory=dict)
    rejected: Mapping[str, Rejected] = field(default_factory=dict)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.snapshot.epoch, self.snapshot.revision)

    @property
    def rejections(self) -> list[Rejection]:
        """All that stand, in order of name."""
        return [
            Rejection(name, self.rejected[name].form.revision, self.rejected[name].reason)
            for name in sorted(self.rejected)
        ]

    @property
    def secret_refs(self) -> set[str]:
        """The references that the latest forms of upstreams name."""
        return {form.upstream.secret_ref for form in self.upstreams.values() if form.upstream.secret_ref}
