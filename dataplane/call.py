"""The values that the stages of a call hand to one another."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from dataplane.snapshot import Snapshot, Target, Upstream, VirtualKey
from tollway.kernel.usage import NO_USAGE, SettlementState, Usage

JsonObject: TypeAlias = dict[str, Any]
COUNT_TOKENS: Final = "count_tokens"
"""The operation that asks how large a call would be."""
HUB: Final = "openai"
"""The dialect that every other one is translated to and from."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the API that goes to upstreams.

    `name` keys a provider's paths, e.g. "chat_completions"; `operation` is the GenAI operation, e.g. "chat"; `format`
    names the dialect that the client speaks there.
    """

    name: str
    path: str
    operation: str
    can_stream: bool
    format: str = HUB


@dataclass(frozen=True, slots=True)
class Principal:
    """Who pays for a call: the key that authenticated it, with names as usage events carry them."""

    key: VirtualKey

    @property
    def team(self) -> str:
        return self.key.team


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a client, read once and never changed; it pins the snapshot that everything is decided by."""

    request_id: str
    client_request_id: str
    endpoint: Endpoint
    snapshot: Snapshot
    body: JsonObject
    model: str
    stream: bool
    wants_usage: bool
    end_user: str
    metadata: dict[str, str]
    forwarded_headers: dict[str, str]
    timeout_s: float | None
    start_time_us: int
    start_s: float
    body_wait_s: float
    output_limit: int | None = None
    is_translated: bool = False
    """`start_s` is the monotonic clock's reading at `start_time_us`; `body_wait_s` was spent waiting for the client.
    `output_limit` is the tokens of an answer that admission counts on where the client set no limit: it is sent.
    `is_translated` says that the client spoke another format than the one that `body` is in."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bounds of one call in seconds: the whole, the wait for a first byte, and the gap between two chunks."""

    total_s: float = 600.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered attempts of one call; the same target may stand in it more than once."""

    route: str
    targets: tuple[Target, ...]
    deadlines: Deadlines


@dataclass(slots=True)
class UpstreamRequest:
    """What one attempt sends: absolute URL, headers (credential included, never shown) and body bytes.

    The transport sets `is_sent` when the upstream may have received it.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    is_sent: bool = False


class Charge(NamedTuple):
    """What an attempt takes from one budget's bucket; ids have 16 bytes, the lease's is empty where there is none."""

    bucket_id: bytes
    lease_id: bytes
    window_start_ms: int
    amount_nano_usd: int


class AppliedLimits(Protocol):
    """The rules that a call fell under."""

    exceeded: list[str]
    """Resource names of rules in audit mode that would have refused it."""

    def headers(self) -> dict[str, str]:
        """The x-ratelimit-* headers of its answer, as of now."""
        ...


@dataclass(slots=True)
class Attempt:
    """One try of one target, filled while it runs and settled once: the line of the ledger that it becomes."""

    number: int
    upstream: Upstream
    upstream_model: str
    start_time_us: int
    first_frame_time_us: int = 0
    end_time_us: int = 0
    status: int = 0
    error_code: str = ""
    response_model: str = ""
    service_tier: str = ""
    usage: Usage = NO_USAGE
    state: SettlementState = SettlementState.NOT_BILLED
    cost_nano_usd: int = 0
    price: str = ""
    price_revision: int = 0
    traceparent: str = ""
    basis: SettlementState | None = None
    may_have_run: bool = False
    reported: Usage | None = None
    is_settled: bool = False
    is_emitted: bool = False
    charges: tuple[Charge, ...] = ()
    """`basis` is how `usage` is known, whatever its price; `may_have_run` says that the upstream took the request and
    nothing tells what became of it; `reported` is what it told of an attempt that failed."""


@dataclass(slots=True)
class Outcome:
    """How a call ended, for the client and for the ledger."""

    call: Call
    principal: Principal
    route: str = ""
    status: int = 0
    error_code: str = ""
    client_gone: bool = False
    upstream_wait_s: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    limits: AppliedLimits | None = None
    is_local: bool = False
    """`is_local` says that the gateway answered by itself: nothing was used, and nothing goes to the ledger."""

    @property
    def cost_nano_usd(self) -> int:
        return sum(attempt.cost_nano_usd for attempt in self.attempts)

    @property
    def is_priced(self) -> bool:
        """Whether `cost_nano_usd` is all that the call cost: no attempt's price is unknown."""
        return all(attempt.state is not SettlementState.UNPRICED for attempt in self.attempts)
