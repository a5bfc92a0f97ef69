"""The compiled configuration that a call pins: frozen, indexed, names resolved to objects."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from dataplane.rules import RuleIndex
from tollway.kernel.price_index import PriceIndex


class Secret:
    """A value that never shows itself: repr, str and format are masked; `reveal` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class VirtualKey:
    """A key as data planes know it; `allowed_models` is None when every model is allowed.

    `name`, `team` and `owner` are full resource names; times are Unix milliseconds, 0 for never.
    """

    name: str
    team: str
    owner: str
    allowed_models: re.Pattern[str] | None
    metadata: Mapping[str, str]
    expire_time_ms: int
    revoked: bool

    def allows(self, model: str) -> bool:
        return self.allowed_models is None or self.allowed_models.fullmatch(model) is not None


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What a digest leads to: the key, and when this digest of it ends (Unix milliseconds, 0 for never)."""

    key: VirtualKey
    expire_time_ms: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """A place to send calls to; `base_url` has no trailing slash, `name` is the full resource name.

    `listed_models` are shown as UPSTREAM/MODEL; `admitted_models` is None when every model may be addressed.
    """

    name: str
    id: str
    provider: str
    base_url: str
    region: str
    headers: Mapping[str, str]
    listed_models: tuple[str, ...]
    admitted_models: re.Pattern[str] | None
    options: Mapping[str, str]
    secret: Secret = field(repr=False)

    def admits(self, model: str) -> bool:
        return self.admitted_models is None or self.admitted_models.fullmatch(model) is not None


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream model of a route; lower `priority` first."""

    upstream: Upstream
    model: str
    weight: int = 1
    priority: int = 0


class Strategy(IntEnum):
    """How a route chooses; values are those of tollway.config.v1.RouteStrategy."""

    WEIGHTED = 1
    PRIORITY = 2


@dataclass(frozen=True, slots=True)
class RouteTimeouts:
    """Seconds; None takes the data plane's default."""

    total_s: float | None = None
    first_byte_s: float | None = None
    idle_s: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A model name that clients say, and where it goes; `targets` are in order of priority, then as written."""

    name: str
    model: str
    strategy: Strategy
    targets: tuple[Target, ...]
    max_attempts: int = 3
    fallback: bool = True
    timeouts: RouteTimeouts = RouteTimeouts()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a call is decided by, at one revision of one control-plane database (`epoch`).

    `keys` are by digest (32 bytes), `routes` by the model that clients say, `upstreams` by bare id; `pepper` is what
    keys are hashed under.
    """

    epoch: str = ""
    revision: int = 0
    pepper: bytes = field(default=b"", repr=False)
    keys: Mapping[bytes, KeyEntry] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    prices: PriceIndex = field(default_factory=PriceIndex)
    limits: RuleIndex = field(default_factory=RuleIndex)

    def models(self, key: VirtualKey) -> Iterable[str]:
        """Names that `key` may use: routes' models, then listed models as UPSTREAM/MODEL."""
        listed = (f"{upstream.id}/{model}" for upstream in self.upstreams.values() for model in upstream.listed_models)
        return (name for name in dict.fromkeys([*self.routes, *listed]) if key.allows(name))
