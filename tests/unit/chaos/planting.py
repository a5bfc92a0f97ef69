"""A small campaign whose ledger is right, for tests to plant faults in."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.chaos.evidence import (
    ClientEnding,
    Entry,
    Evidence,
    LedgerReading,
    Observation,
    Producer,
    ProviderCall,
)
from tests.chaos.sums import reports_of, rollups_of
from tollway.kernel.usage import SettlementState

TEAM = "teams/a"
BOOT = 7
NOON = datetime(2026, 1, 2, 12, 7, tzinfo=UTC)


def request(call: str, model: str, tokens: tuple[int, int], ending: str = "completed", **more: Any) -> ProviderCall:
    tokens_in, tokens_out = tokens
    made = ProviderCall(
        call=f"p-{call}-{model}",
        user=call,
        model=model,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost_nano_usd=tokens_in * 1000 + tokens_out * 4000,
        reports_usage=ending != "failed",
        ending=ending,
    )
    return replace(made, **more)


def line(number: int, call: str, model: str, tokens: tuple[int, int], **more: Any) -> Entry:
    tokens_in, tokens_out = tokens
    made = Entry(
        event_id=f"e{number}",
        boot_id=BOOT,
        sequence=number,
        request_id=f"req_{call}",
        call=call,
        attempt=1,
        final=True,
        dimensions=(TEAM, f"{TEAM}/keys/k", TEAM, f"sim/{model}", "", "sim", "upstreams/sim", model),
        start_time=NOON,
        status=200,
        error_code="",
        state=SettlementState.REPORTED,
        tokens=(tokens_in, tokens_out, 0, 0, 0),
        cost_nano_usd=tokens_in * 1000 + tokens_out * 4000,
    )
    return replace(made, **more)


OBSERVATIONS = (
    Observation("c1", TEAM, ClientEnding.GOOD, 200, cost_nano_usd=3 * 1000 + 3 * 4000),
    Observation("c2", TEAM, ClientEnding.GOOD, 200),
    Observation("c3", TEAM, ClientEnding.BROKEN),
    Observation("c4", TEAM, ClientEnding.GOOD, 200),
    Observation("c5", TEAM, ClientEnding.REFUSED, 401),
)
"""c1 plain; c2 falls back from an error; c3 meets a crash; c4 answers without usage; c5 never goes out."""

REQUESTS = (
    request("c1", "echo", (3, 3)),
    request("c2", "flaky-30", (0, 0), "failed"),
    request("c2", "echo", (5, 5)),
    request("c3", "stream-50", (2, 9), "aborted"),
    request("c4", "nousage-6", (4, 6), reports_usage=False),
)
ENTRIES = (
    line(1, "c1", "echo", (3, 3)),
    line(2, "c2", "flaky-30", (0, 0), final=False, status=500, state=SettlementState.NOT_BILLED),
    line(3, "c2", "echo", (5, 5), attempt=2),
    line(4, "c3", "stream-50", (3, 0), status=500, error_code="gateway_crashed", state=SettlementState.ESTIMATED),
    line(5, "c4", "nousage-6", (5, 9), state=SettlementState.ESTIMATED),
)


def evidence(
    entries: tuple[Entry, ...] = ENTRIES,
    *,
    requests: tuple[ProviderCall, ...] = REQUESTS,
    observations: tuple[Observation, ...] = OBSERVATIONS,
    **ledger: Any,
) -> Evidence:
    """A campaign whose sums and producers are those of `entries`, unless given otherwise."""
    read = LedgerReading(
        entries=entries,
        reports=reports_of(entries),
        rollups=rollups_of(entries),
        producers=(Producer(BOOT, ((1, len(entries)),), len(entries)),),
        dead_letters=0,
    )
    return Evidence(observations, requests, replace(read, **ledger))


def changed(entries: tuple[Entry, ...], number: int, **fields: Any) -> tuple[Entry, ...]:
    """`entries` with other fields in the one of that sequence number."""
    return tuple(replace(entry, **fields) if entry.sequence == number else entry for entry in entries)
