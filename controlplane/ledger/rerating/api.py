"""Handlers of PriceReratingService."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import cast

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import ConfigStore, ReadView, UnitOfWork
from controlplane.ledger.reading.pages import (
    invalid_page_token,
    page_size_of,
    query_fingerprint,
    read_page_token,
    write_page_token,
)
from controlplane.ledger.rerating import service
from controlplane.ledger.rerating.render import difference_message, run_message
from controlplane.ledger.rerating.requests import run_id_of, run_order
from controlplane.ledger.rerating.runs import ReratingRun
from controlplane.resources.transaction import Transactor
from controlplane.resources.writer import Caller
from tollway.admin.v1 import rerating_pb2 as admin

_SERVICE = "tollway.admin.v1.PriceReratingService"
_RUNS = query_fingerprint("reratingRuns")


def rerating_handlers(config: ConfigStore, transactor: Transactor, wake: Callable[[], None]) -> dict[str, Handler]:
    """Handlers by full method name; `wake` is called when there is work for the background."""
    api = ReratingApi(config, transactor, wake)
    return {
        f"{_SERVICE}/CreateReratingRun": api.create_run,
        f"{_SERVICE}/GetReratingRun": api.get_run,
        f"{_SERVICE}/ListReratingRuns": api.list_runs,
        f"{_SERVICE}/ListReratingDifferences": api.list_differences,
        f"{_SERVICE}/PostReratingRun": api.post_run,
        f"{_SERVICE}/CancelReratingRun": api.cancel_run,
    }


class ReratingApi:
    """Every method may raise Unavailable."""

    def __init__(self, config: ConfigStore, transactor: Transactor, wake: Callable[[], None]) -> None:
        self._config = config
        self._transactor = transactor
        self._wake = wake

    async def create_run(self, principal: AdminPrincipal, message: Message) -> admin.ReratingRun:
        """Raises InvalidArgument, NotFound when there is no such price book."""
        request = cast(admin.CreateReratingRunRequest, message)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.ReratingRun:
            order = run_order(request.rerating_run, unit.now)
            return run_message(await service.create_run(unit, caller, order))

        created = await self._transactor.run(principal, request, admin.ReratingRun, respond)
        self._wake()
        return created

    async def get_run(self, principal: AdminPrincipal, message: Message) -> admin.ReratingRun:
        """Raises InvalidArgument, NotFound."""
        run_id = run_id_of(cast(admin.GetReratingRunRequest, message).name)
        async with self._config.read() as view:
            [shown] = await _messages(view, [await service.find_run(view.rerating, run_id)])
        return shown

    async def list_runs(self, principal: AdminPrincipal, message: Message) -> admin.ListReratingRunsResponse:
        """Raises InvalidArgument."""
        request = cast(admin.ListReratingRunsRequest, message)
        size = page_size_of(request.page_size, default=50, maximum=500)
        before = _run_position(request.page_token) if request.page_token else None
        async with self._config.read() as view:
            runs = await view.rerating.list_before(before, size + 1)
            shown = await _messages(view, runs[:size])
        token = write_page_token(_RUNS, [runs[size - 1].run_id.hex]) if len(runs) > size else ""
        return admin.ListReratingRunsResponse(rerating_runs=shown, next_page_token=token)

    async def list_differences(
        self, principal: AdminPrincipal, message: Message
    ) -> admin.ListReratingDifferencesResponse:
        """Raises InvalidArgument, NotFound."""
        request = cast(admin.ListReratingDifferencesRequest, message)
        run_id = run_id_of(request.parent, "parent")
        size = page_size_of(request.page_size, default=50, maximum=500)
        fingerprint = query_fingerprint("differences", request.parent, request.posted)
        after = _group_position(request.page_token, fingerprint) if request.page_token else ("", "")
        async with self._config.read() as view:
            await service.find_run(view.rerating, run_id)
            found = await view.rerating.list_differences(run_id, request.posted, after, size + 1)
        last = found[size - 1] if len(found) > size else None
        return admin.ListReratingDifferencesResponse(
            differences=[difference_message(difference) for difference in found[:size]],
            next_page_token="" if last is None else write_page_token(fingerprint, [last.team, last.model]),
        )

    async def post_run(self, principal: AdminPrincipal, message: Message) -> admin.ReratingRun:
        """Raises InvalidArgument, NotFound, FailedPrecondition when the run is not one that can be posted."""
        request = cast(admin.PostReratingRunRequest, message)
        run_id = run_id_of(request.name)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.ReratingRun:
            run = await service.post_run(unit, caller, run_id, allow_unpriced=request.allow_unpriced)
            return run_message(run)

        posting = await self._transactor.run(principal, request, admin.ReratingRun, respond)
        self._wake()
        return posting

    async def cancel_run(self, principal: AdminPrincipal, message: Message) -> admin.ReratingRun:
        """Raises InvalidArgument, NotFound, FailedPrecondition when the run has posted."""
        request = cast(admin.CancelReratingRunRequest, message)
        run_id = run_id_of(request.name)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.ReratingRun:
            return run_message(await service.cancel_run(unit, caller, run_id))

        return await self._transactor.run(principal, request, admin.ReratingRun, respond)


async def _messages(view: ReadView, runs: Sequence[ReratingRun]) -> list[admin.ReratingRun]:
    sums = await view.rerating.sums([run.run_id for run in runs])
    shown = []
    for run in runs:
        first, last = run.start_time.astimezone(UTC), (run.end_time - timedelta(microseconds=1)).astimezone(UTC)
        days = await view.rerating.detached_days(first.date(), last.date())
        # A day that left the ledger after the run had ended was within its reach.
        detached = [day for day in days if run.finish_time is None or day.detach_time <= run.finish_time]
        shown.append(run_message(run, sums.get((run.run_id, False)), sums.get((run.run_id, True)), detached))
    return shown


def _run_position(token: str) -> uuid.UUID:
    match read_page_token(token, _RUNS):
        case [str(text)]:
            try:
                return uuid.UUID(hex=text)
            except ValueError:
                raise invalid_page_token() from None
        case _:
            raise invalid_page_token()


def _group_position(token: str, fingerprint: str) -> tuple[str, str]:
    match read_page_token(token, fingerprint):
        case [str(team), str(model)] if "\0" not in team + model:
            return team, model
        case _:
            raise invalid_page_token()
