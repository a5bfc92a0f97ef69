"""The life of runs: created with a preview, then posted or canceled; each step in a transaction of its own."""

import secrets
import uuid
from dataclasses import replace

from google.protobuf import json_format

from controlplane.audit.rows import AuditEntry
from controlplane.db.unit_of_work import UnitOfWork
from controlplane.errors import FailedPrecondition, NotFound
from controlplane.ledger.rerating.book import has_book
from controlplane.ledger.rerating.differences import DifferenceSums
from controlplane.ledger.rerating.render import run_message
from controlplane.ledger.rerating.requests import RunOrder
from controlplane.ledger.rerating.runs import RUN_COLLECTION, ReratingRun, RunState, run_identity
from controlplane.ledger.rerating.store import ReratingStore
from controlplane.ledger.times import unix_us
from controlplane.resources.writer import Caller

_RANDOM_BITS = 62


async def find_run(store: ReratingStore, run_id: uuid.UUID, *, lock: bool = False) -> ReratingRun:
    """Raises NotFound."""
    run = await store.find(run_id, lock=lock)
    if run is None:
        name = f"{RUN_COLLECTION}/{run_id}"
        raise NotFound(f"{name} does not exist; ListReratingRuns shows those that do", resource=name)
    return run


async def create_run(unit: UnitOfWork, caller: Caller, order: RunOrder) -> ReratingRun:
    """A run that is previewed next.

    Raises NotFound when there is no such price book, FailedPrecondition when adjustments of its entries are detached.
    """
    if not await has_book(unit, order.price_book):
        raise NotFound(f"{order.price_book} does not exist; name a price book that does", resource=order.price_book)
    now_ms = unix_us(unit.now) // 1000
    run = ReratingRun(
        run_id=run_identity(now_ms, await unit.rerating.last_id(), secrets.randbits(_RANDOM_BITS)),
        principal=caller.principal.name,
        create_time=unit.now,
        start_time=order.start_time,
        end_time=order.end_time,
        filter=order.filter,
        price_book=order.price_book,
        config_revision=unit.head.revision,
        state=RunState.PREVIEWING,
        position=uuid.UUID(int=0),
    )
    run = replace(run, position=run.first_id)
    await _require_visible(unit, run)
    await unit.rerating.add(run)
    await _note(unit, caller, None, run)
    return run


async def post_run(unit: UnitOfWork, caller: Caller, run_id: uuid.UUID, *, allow_unpriced: bool) -> ReratingRun:
    """A run whose adjustments are posted next; one that is posting or has posted is left as it is.

    Raises NotFound, FailedPrecondition.
    """
    before = await find_run(unit.rerating, run_id, lock=True)
    if before.state in (RunState.POSTING, RunState.POSTED):
        return before
    await _require_postable(unit, before, allow_unpriced=allow_unpriced)
    is_first = before.post_time is None
    run = replace(
        before,
        state=RunState.POSTING,
        position=before.first_id if is_first else before.position,
        examined_entries=0 if is_first else before.examined_entries,
        post_time=unit.now,
        post_principal=caller.principal.name,
        finish_time=None,
        failure="",
    )
    await unit.rerating.put(run)
    await _note(unit, caller, before, run)
    return run


async def cancel_run(unit: UnitOfWork, caller: Caller, run_id: uuid.UUID) -> ReratingRun:
    """A run that has ended; one that has been canceled before is left as it is. Raises NotFound, FailedPrecondition."""
    before = await find_run(unit.rerating, run_id, lock=True)
    if before.state is RunState.CANCELED:
        return before
    if before.post_time is not None:
        text = f"{before.name} has posted adjustments; rate anew with another run to change what it did"
        raise FailedPrecondition(text, resource=before.name)
    run = replace(before, state=RunState.CANCELED, finish_time=unit.now)
    await unit.rerating.put(run)
    await _note(unit, caller, before, run)
    return run


async def _require_postable(unit: UnitOfWork, run: ReratingRun, *, allow_unpriced: bool) -> None:
    if run.state is RunState.PREVIEWING:
        raise FailedPrecondition(f"{run.name} is still being previewed; post it once it is", resource=run.name)
    if run.state is not RunState.PREVIEWED and run.post_time is None:
        raise FailedPrecondition(f"{run.name} has ended without a preview; create another run", resource=run.name)
    later = await unit.rerating.posted_after(run.run_id)
    if later is not None:
        text = f"{RUN_COLLECTION}/{later}, which is newer than {run.name}, has posted; create another run"
        raise FailedPrecondition(text, resource=run.name)
    await _require_visible(unit, run)
    sums = (await unit.rerating.sums([run.run_id])).get((run.run_id, False), DifferenceSums())
    if sums.newly_unpriced_entries and not allow_unpriced:
        text = (
            f"{run.name} would take the cost from {sums.newly_unpriced_entries} entries, for which {run.price_book} has"
            " no price; add Prices for their models and create another run, or set allow_unpriced"
        )
        raise FailedPrecondition(text, resource=run.name)


async def _require_visible(unit: UnitOfWork, run: ReratingRun) -> None:
    """Entries whose adjustments cannot be seen would be adjusted for the same difference again."""
    day = await unit.rerating.hidden_by(run)
    if day is not None:
        text = (
            f"{day} is detached from the ledger and has adjustments of entries in the range; attach it, or narrow that"
        )
        raise FailedPrecondition(text, resource=run.name)


async def _note(unit: UnitOfWork, caller: Caller, before: ReratingRun | None, after: ReratingRun) -> None:
    entry = AuditEntry(
        time=unit.now,
        principal=caller.principal.name,
        method=caller.principal.method,
        resource=after.name,
        revision=unit.head.revision,
        before=None if before is None else _audited(before),
        after=_audited(after),
        request_id=caller.request_id,
    )
    await unit.audit.append([entry])


def _audited(run: ReratingRun) -> dict[str, object]:
    shown: dict[str, object] = json_format.MessageToDict(run_message(run), preserving_proto_field_name=True)
    return {**shown, "state": run.state.name.lower()}
