"""Handlers of LedgerPeriodService."""

from collections.abc import Sequence
from datetime import date
from typing import cast

from google.protobuf import json_format
from google.protobuf.message import Message

from controlplane.audit.rows import AuditEntry
from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.errors import FailedPrecondition, InvalidArgument
from controlplane.ledger.periods.months import (
    PERIOD_COLLECTION,
    ClosedMonth,
    MonthSums,
    month_of,
    next_month,
    parse_period,
    period_name,
    previous_month,
    start_of,
)
from controlplane.ledger.periods.render import period_message
from controlplane.ledger.periods.store import PeriodStore
from controlplane.ledger.reading.pages import (
    invalid_page_token,
    page_size_of,
    query_fingerprint,
    read_page_token,
    write_page_token,
)
from controlplane.resources.transaction import Transactor
from controlplane.resources.writer import Caller
from tollway.admin.v1 import rerating_pb2 as admin
from tollway.resources.violations import Violation

_SERVICE = "tollway.admin.v1.LedgerPeriodService"
_PERIODS = query_fingerprint(PERIOD_COLLECTION)


def period_handlers(config: ConfigStore, transactor: Transactor) -> dict[str, Handler]:
    """Handlers by full method name."""
    api = PeriodApi(config, transactor)
    return {
        f"{_SERVICE}/GetLedgerPeriod": api.get_period,
        f"{_SERVICE}/ListLedgerPeriods": api.list_periods,
        f"{_SERVICE}/CloseLedgerPeriod": api.close_period,
    }


class PeriodApi:
    """Every method may raise Unavailable."""

    def __init__(self, config: ConfigStore, transactor: Transactor) -> None:
        self._config = config
        self._transactor = transactor

    async def get_period(self, principal: AdminPrincipal, message: Message) -> admin.LedgerPeriod:
        """Raises InvalidArgument."""
        month = _month_of(cast(admin.GetLedgerPeriodRequest, message).name)
        async with self._config.read() as view:
            [period] = await _messages(view.periods, [month])
        return period

    async def list_periods(self, principal: AdminPrincipal, message: Message) -> admin.ListLedgerPeriodsResponse:
        """Raises InvalidArgument."""
        request = cast(admin.ListLedgerPeriodsRequest, message)
        size = page_size_of(request.page_size, default=12, maximum=24)
        newest = previous_month(_position(request.page_token)) if request.page_token else month_of(self._config.now())
        async with self._config.read() as view:
            months = await _months_down(view.periods, newest, size + 1)
            periods = await _messages(view.periods, months[:size])
        token = write_page_token(_PERIODS, [period_name(months[size - 1])]) if len(months) > size else ""
        return admin.ListLedgerPeriodsResponse(ledger_periods=periods, next_page_token=token)

    async def close_period(self, principal: AdminPrincipal, message: Message) -> admin.LedgerPeriod:
        """Raises InvalidArgument, FailedPrecondition when the month is not over or a run is being posted."""
        request = cast(admin.CloseLedgerPeriodRequest, message)
        month = _month_of(request.name)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.LedgerPeriod:
            return await _close(unit, caller, month)

        return await self._transactor.run(principal, request, admin.LedgerPeriod, respond)


async def _close(unit: UnitOfWork, caller: Caller, month: date) -> admin.LedgerPeriod:
    """A month that is closed already stays as it was closed."""
    if month not in await unit.periods.closed():
        await _require_closable(unit, month)
        sums = (await unit.periods.sums([month])).get(month, MonthSums())
        closed = ClosedMonth(month, unit.now, caller.principal.name, sums.attempts, sums.cost_nano_usd)
        await unit.periods.close(closed)
        await unit.audit.append([_audit_entry(unit, caller, closed)])
    [period] = await _messages(unit.periods, [month])
    return period


async def _require_closable(unit: UnitOfWork, month: date) -> None:
    name = period_name(month)
    if start_of(next_month(month)) > unit.now:
        raise FailedPrecondition(f"{name} is not over; close it in the next month", resource=name)
    run_id = await unit.rerating.posting()
    if run_id is not None:
        text = f"reratingRuns/{run_id} is being posted and may still adjust {name}; close it once the run has ended"
        raise FailedPrecondition(text, resource=name)


async def _months_down(periods: PeriodStore, newest: date, limit: int) -> list[date]:
    """Months from `newest` down to the first with usage or that is closed, at most `limit`."""
    known = [*await periods.closed(), await periods.first_month()]
    oldest = min((month for month in known if month is not None), default=newest)
    months = [newest]
    while len(months) < limit and months[-1] > oldest:
        months.append(previous_month(months[-1]))
    return months


async def _messages(periods: PeriodStore, months: Sequence[date]) -> list[admin.LedgerPeriod]:
    closed, sums = await periods.closed(), await periods.sums(months)
    return [period_message(month, sums.get(month, MonthSums()), closed.get(month)) for month in months]


def _audit_entry(unit: UnitOfWork, caller: Caller, closed: ClosedMonth) -> AuditEntry:
    message = period_message(closed.month, MonthSums(closed.attempts, closed.cost_nano_usd), closed)
    shown = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return AuditEntry(
        time=unit.now,
        principal=caller.principal.name,
        method=caller.principal.method,
        resource=message.name,
        revision=unit.head.revision,
        before=None,
        after={**shown, "state": "closed"},
        request_id=caller.request_id,
    )


def _month_of(name: str) -> date:
    month = parse_period(name)
    if month is None:
        raise InvalidArgument(
            [Violation("name", f"must be {PERIOD_COLLECTION}/YYYY-MM, e.g. {PERIOD_COLLECTION}/2026-10")]
        )
    return month


def _position(token: str) -> date:
    match read_page_token(token, _PERIODS):
        case [str(name)] if (month := parse_period(name)) is not None and month.year > 1970:
            return month
        case _:
            raise invalid_page_token()
