"""What checks find -> admin messages. Pure."""

from datetime import date

from controlplane.errors import InvalidArgument
from controlplane.ledger.checks.reports import DayReport, DetachedDay, Drift, Gap, LedgerState
from controlplane.ledger.times import timestamp
from tollway.admin.v1 import ledger_pb2
from tollway.kernel.money import format_usd
from tollway.resources.violations import Violation

DAY_COLLECTION = "ledger/days"


def day_in(name: str) -> date:
    """The day of `ledger/days/{day}`. Raises InvalidArgument."""
    collection, _, text = name.rpartition("/")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or collection != DAY_COLLECTION or day.isoformat() != text or not 1970 <= day.year < 2100:
        raise InvalidArgument([Violation("name", f'must be {DAY_COLLECTION}/ and a UTC day such as "2026-11-28"')])
    return day


def report_message(report: DayReport) -> ledger_pb2.LedgerDayReport:
    return ledger_pb2.LedgerDayReport(
        name=f"{DAY_COLLECTION}/{report.day}",
        entries=report.entries,
        cost_usd=format_usd(int(report.cost_nano_usd)),
        is_folded=report.is_folded,
        only_totals=report.only_totals,
        drift_count=report.drifting_rows,
        drifts=map(_drift_message, report.drifts),
    )


def state_message(state: LedgerState) -> ledger_pb2.LedgerStatus:
    message = ledger_pb2.LedgerStatus(
        gaps=map(_gap_message, state.gaps),
        stray_entries=state.stray_entries,
        late_entries=state.late_entries,
        dead_letters=state.dead_letters,
        detached_days=map(_detached_message, state.detached_days),
        first_day="" if state.first_day is None else str(state.first_day),
        last_day="" if state.last_day is None else str(state.last_day),
    )
    if state.check is not None:
        message.check_start_time.CopyFrom(timestamp(state.check.start_time))
        message.check_days, message.check_drifts = state.check.days, state.check.drifts
        if state.check.end_time is not None:
            message.check_end_time.CopyFrom(timestamp(state.check.end_time))
    return message


def _drift_message(drift: Drift) -> ledger_pb2.LedgerDrift:
    return ledger_pb2.LedgerDrift(
        kind=drift.kind.value,
        span_s=drift.span_s,
        slot=timestamp(drift.slot),
        group_id="" if drift.group_id is None else str(drift.group_id),
        group=drift.group,
        bucket=drift.bucket,
        sum=drift.sum,
        expected=int(drift.expected),
        found=int(drift.found),
    )


def _gap_message(gap: Gap) -> ledger_pb2.ProducerGap:
    seen_time = timestamp(gap.seen_time)
    return ledger_pb2.ProducerGap(boot_id=str(gap.boot_id), first=gap.first, last=gap.last, seen_time=seen_time)


def _detached_message(day: DetachedDay) -> ledger_pb2.DetachedDay:
    return ledger_pb2.DetachedDay(
        day=str(day.day),
        table_name=day.table_name,
        is_kept=day.is_kept,
        entries=day.entries,
        cost_usd=format_usd(day.cost_nano_usd),
        adjustments=day.adjustments,
        detach_time=timestamp(day.detach_time),
    )
