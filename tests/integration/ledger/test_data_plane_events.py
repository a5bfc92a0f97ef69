"""What the data plane's emitter writes is what the ledger books."""

from pathlib import Path

from controlplane.ledger.decode import decode
from controlplane.ledger.entries import Delivery
from dataplane.metering.emitter import SpoolBounds
from dataplane.metering.room import UsageRoom
from tests.fakes.outcomes import make_attempt, make_call, make_outcome
from tollway.kernel.usage import SettlementState, Usage


async def test_every_outcome_is_booked_whatever_the_upstream_said(tmp_path: Path) -> None:
    room = UsageRoom.build(tmp_path, 12345, has_ledger=True, bounds=SpoolBounds())
    emitter = room.emitter
    absurd = make_attempt(
        2, usage=Usage(input=10**30, output=-5), cost_nano_usd=10**30, response_model="\0" * 999, error_code="é" * 999
    )
    failed = make_attempt(1, status=503, state=SettlementState.NOT_BILLED, usage=Usage(), cost_nano_usd=0)
    refused = make_outcome(status=429, error_code="rate_limit_exceeded")
    refused.attempts.clear()
    emitter.emit(make_outcome())
    emitter.emit(make_outcome(failed, absurd, call=make_call(model="\U0001f600" * 500, end_user="\0")))
    emitter.emit(refused)
    [batch] = (await room.outbox.take()).messages
    entries, dead_letters = decode(Delivery("tollway.usage.v1.a", 1, 1, batch.payload))
    assert dead_letters == []
    assert [(entry.attempt, entry.final, entry.sequence) for entry in entries] == [
        (1, True, 1),
        (1, False, 2),
        (2, True, 3),
        (0, True, 4),
    ]
    assert entries[0].cost_nano_usd == 123
