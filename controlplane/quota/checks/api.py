"""Handlers of BudgetService that check budgets."""

import logging
from datetime import timedelta

from google.protobuf.message import Message

from controlplane.audit.log import AuditLog
from controlplane.authz import AdminPrincipal, Handler
from controlplane.ledger.times import EPOCH, timestamp
from controlplane.quota.checks.reports import BudgetDrift, BudgetReport
from controlplane.quota.checks.repository import BudgetCheckRepository
from tollway.admin.v1 import budgets_pb2 as admin
from tollway.kernel.money import format_usd

_SERVICE = "tollway.admin.v1.BudgetService"

_log = logging.getLogger(__name__)


def budget_check_handlers(checks: BudgetCheckRepository, audit: AuditLog) -> dict[str, Handler]:
    """Handlers by full method name; all raise Unavailable."""

    async def verify(principal: AdminPrincipal, message: Message) -> admin.BudgetsReport:
        return _report_message(await checks.verify())

    async def repair(principal: AdminPrincipal, message: Message) -> admin.BudgetsReport:
        await audit.note(principal, "budgets", {"repaired": True})
        report = await checks.repair()
        _log.warning("sums of budgets corrected principal=%s sums=%d", principal.name, len(report.drifts))
        return _report_message(report)

    return {f"{_SERVICE}/VerifyBudgets": verify, f"{_SERVICE}/RepairBudgets": repair}


def _report_message(report: BudgetReport) -> admin.BudgetsReport:
    return admin.BudgetsReport(
        buckets=report.buckets,
        unverified=report.unverified,
        drift_count=len(report.drifts),
        drifts=map(_drift_message, report.shown),
    )


def _drift_message(drift: BudgetDrift) -> admin.BudgetDrift:
    bucket = drift.bucket
    return admin.BudgetDrift(
        budget=bucket.rule,
        values=bucket.values,
        period_start_time=timestamp(EPOCH + timedelta(milliseconds=bucket.key.window_start_ms)),
        sum=drift.sum.value,
        expected_usd=format_usd(drift.expected),
        found_usd=format_usd(drift.found),
    )
