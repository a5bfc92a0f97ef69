"""What a campaign works on, whoever runs it: where to call, where to read, and what is still on its way."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.evidence import LedgerReading
from tests.chaos.limits.evidence import BucketSums, Cap
from tests.chaos.load import Caller, Kind


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for `hold_s` seconds and is right again when `strike` returns."""

    name: str
    strike: Callable[[float], Awaitable[None]] = field(repr=False)


async def _read_no_budgets() -> Mapping[str, BucketSums]:
    return {}


async def _read_no_charges() -> Mapping[str, int]:
    return {}


async def _read_nothing_held() -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Site:
    """One installation.

    base_urls(): of the data planes, without /v1. backlog(): what is still on its way to the ledger, "" when nothing
    is. read_ledger() raises ReadingFailed while it cannot be read. memory_kib(): by process, {} where unknown.
    limited: callers whose teams have no other usage, for rules that refuse. caps: of rules that are there already.
    read_budgets(), read_charged(), read_held(): what budgets have spent, what entries charge to them, and what leases
    hold; they raise ReadingFailed, too.
    """

    base_urls: Callable[[], Sequence[str]]
    callers: Sequence[Caller] = field(repr=False)
    kinds: Sequence[Kind]
    truth_logs: Sequence[Path]
    read_ledger: Callable[[], Awaitable[LedgerReading]]
    backlog: Callable[[], Awaitable[str]]
    memory_kib: Callable[[], Mapping[str, int]]
    faults: Sequence[Fault]
    versions: Mapping[str, str]
    limited: Sequence[Caller] = field(default=(), repr=False)
    caps: Sequence[Cap] = ()
    read_budgets: Callable[[], Awaitable[Mapping[str, BucketSums]]] = _read_no_budgets
    read_charged: Callable[[], Awaitable[Mapping[str, int]]] = _read_no_charges
    read_held: Callable[[], Awaitable[tuple[str, ...]]] = _read_nothing_held

    def truth_lines(self) -> list[str]:
        """Of all truth logs, as they are now."""
        return [line for log in self.truth_logs for line in log.read_text(encoding="utf-8").splitlines()]


class ReadingFailed(Exception):
    """The ledger does not answer at the moment."""
