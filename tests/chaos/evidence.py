"""What a campaign gathers, as values: what the provider did, what clients saw, what the ledger holds."""

import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from tollway.kernel.usage import SettlementState

CRASHED = "gateway_crashed"
_NO_LEASE = "cannot be checked at the moment"
_RECORDED = (
    *("call", "user", "model", "input_tokens", "output_tokens"),
    *("cost_nano_usd", "reports_usage", "ending"),
)
DIMENSIONS = ("team", "key", "key_owner", "requested_model", "route", "provider", "upstream", "upstream_model")


class ClientEnding(enum.Enum):
    """GOOD came whole, LEFT was given up by the client, REFUSED got an error status, BROKEN anything else."""

    GOOD = "good"
    LEFT = "left"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Denial:
    """What an error of a limit told its client: the code, and the headers on trying again; None where absent."""

    code: str
    should_retry: bool | None
    retry_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Observation:
    """How one call ended for its client; `call` is the id that it sent. The cost is what the answer told, if it did.

    denial: of a call that a limit refused.
    """

    call: str
    team: str
    ending: ClientEnding
    status: int = 0
    cost_nano_usd: int | None = None
    detail: str = ""
    denial: Denial | None = None

    @property
    def has_no_lease(self) -> bool:
        """Whether it was refused because the control plane did not lease it anything in time."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE and _NO_LEASE in self.detail


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One request as the provider served it, by the last record of its truth log.

    began_ms, ended_ms: Unix milliseconds of its first and its last record; 0 where the log has no times.
    """

    call: str
    user: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    reports_usage: bool
    ending: str
    began_ms: int = 0
    ended_ms: int = 0

    @property
    def is_failed(self) -> bool:
        """It got an error status, which costs nothing."""
        return self.ending == "failed"

    @property
    def is_completed(self) -> bool:
        return self.ending == "completed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `call` is the client's id; boot_id and sequence are 0 where they cannot be read.

    sums: input, output, cache read, cache write and reasoning tokens.
    """

    event_id: str
    boot_id: int
    sequence: int
    request_id: str
    call: str
    attempt: int
    final: bool
    dimensions: tuple[str, ...]
    start_time: datetime
    status: int
    error_code: str
    state: SettlementState
    tokens: tuple[int, int, int, int, int]
    cost_nano_usd: int
    is_adjustment: bool = False
    prior_state: SettlementState | None = None

    @property
    def upstream_model(self) -> str:
        return self.dimensions[DIMENSIONS.index("upstream_model")]

    @property
    def team(self) -> str:
        return self.dimensions[DIMENSIONS.index("team")]


SumKey = tuple[datetime | None, tuple[str, ...]]
Sums = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Producer:
    """What is accounted for of one data plane process: ranges of sequence numbers, and how many entries they are."""

    boot_id: int
    ranges: tuple[tuple[int, int], ...]
    entries: int


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """The ledger at one moment. Parts that this reader cannot see are None.

    rollups: by start of the quarter hour and dimensions. reports: what the admin API sums up, by team and model.
    """

    entries: tuple[Entry, ...]
    reports: Mapping[tuple[str, str], Sums]
    rollups: Mapping[SumKey, Sums] | None = None
    producers: tuple[Producer, ...] | None = None
    dead_letters: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it. limited_teams: whose calls may be refused by limits."""

    observations: tuple[Observation, ...]
    provider_calls: tuple[ProviderCall, ...]
    ledger: LedgerReading = field(default_factory=lambda: LedgerReading((), {}))
    limited_teams: frozenset[str] = frozenset()


def read_provider_calls(lines: Iterable[str], mark: str) -> tuple[ProviderCall, ...]:
    """The requests of users that begin with `mark`, in the order in which they came; torn lines are passed over."""
    calls: dict[str, ProviderCall] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["user"].startswith(mark):
            calls[record["call"]] = _provider_call(record, calls.get(record["call"]))
    return tuple(calls.values())


def _provider_call(record: Mapping[str, Any], before: ProviderCall | None) -> ProviderCall:
    time_ms = record.get("time_ms", 0)
    facts = {name: record[name] for name in _RECORDED}
    return ProviderCall(**facts, began_ms=time_ms if before is None else before.began_ms, ended_ms=time_ms)
