"""Handlers of LedgerService."""

import logging
from typing import cast

from google.protobuf.message import Message

from controlplane.audit.log import AuditLog
from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.ledger.checks.render import day_in, report_message, state_message
from controlplane.ledger.checks.repository import DayCheckRepository
from controlplane.ledger.state.repository import StateRepository
from tollway.admin.v1.ledger_pb2 import (
    LedgerDayReport,
    LedgerStatus,
    RepairLedgerDayRequest,
    RepairLedgerDayResponse,
    VerifyLedgerDayRequest,
)

_SERVICE = "tollway.admin.v1.LedgerService"

_log = logging.getLogger(__name__)


def ledger_check_handlers(database: Database) -> dict[str, Handler]:
    """Handlers by full method name."""
    api = LedgerCheckApi(StateRepository(database), DayCheckRepository(database), AuditLog(ConfigStore(database)))
    return {
        f"{_SERVICE}/GetLedgerStatus": api.get_ledger_status,
        f"{_SERVICE}/VerifyLedgerDay": api.verify_ledger_day,
        f"{_SERVICE}/RepairLedgerDay": api.repair_ledger_day,
    }


class LedgerCheckApi:
    """Checks of the ledger for admins; every method raises Unavailable."""

    def __init__(self, state: StateRepository, days: DayCheckRepository, audit: AuditLog) -> None:
        self._state = state
        self._days = days
        self._audit = audit

    async def get_ledger_status(self, principal: AdminPrincipal, message: Message) -> LedgerStatus:
        return state_message(await self._state.read())

    async def verify_ledger_day(self, principal: AdminPrincipal, message: Message) -> LedgerDayReport:
        """Raises InvalidArgument."""
        day = day_in(cast(VerifyLedgerDayRequest, message).name)
        return report_message(await self._days.verify(day))

    async def repair_ledger_day(self, principal: AdminPrincipal, message: Message) -> RepairLedgerDayResponse:
        """Raises InvalidArgument, and FailedPrecondition for a day whose entries are not all there."""
        day = day_in(cast(RepairLedgerDayRequest, message).name)
        await self._audit.note(principal, f"ledger/days/{day}", {"repaired": True})
        repaired = await self._days.repair(day)
        _log.warning("sums of a day made anew day=%s principal=%s rows=%s", day, principal.name, repaired)
        return RepairLedgerDayResponse(
            removed_sums=repaired.removed_sums,
            made_sums=repaired.made_sums,
            removed_latencies=repaired.removed_latencies,
            made_latencies=repaired.made_latencies,
        )
