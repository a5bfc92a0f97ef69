"""Runs -> admin messages. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

from controlplane.ledger.rerating.differences import DifferenceSums
from controlplane.ledger.rerating.runs import ReratingRun, RunState
from controlplane.ledger.rerating.store import DetachedDay, Difference
from controlplane.ledger.times import timestamp
from tollway.admin.v1 import rerating_pb2 as admin
from tollway.kernel.money import format_usd
from tollway.kernel.names import bare_id
from tollway.kernel.usage import event_time_ms


def run_message(
    run: ReratingRun,
    preview: DifferenceSums | None = None,
    posted: DifferenceSums | None = None,
    detached: Iterable[DetachedDay] = (),
) -> admin.ReratingRun:
    """A run with its sums, None where there is none yet; `detached` are the days that it cannot reach."""
    has_preview = preview is not None or run.state is RunState.PREVIEWED or run.post_time is not None
    return admin.ReratingRun(
        name=run.name,
        principal=run.principal,
        create_time=timestamp(run.create_time),
        start_time=timestamp(run.start_time),
        end_time=timestamp(run.end_time),
        filter=run.filter,
        price_book=run.price_book,
        config_revision=run.config_revision,
        state=cast(admin.ReratingState.ValueType, int(run.state)),
        examined_entries=run.examined_entries,
        position_time=timestamp(_position_time(run)),
        preview=sums_message(preview or DifferenceSums()) if has_preview else None,
        posted=sums_message(posted or DifferenceSums()) if run.post_time is not None else None,
        post_time=timestamp(run.post_time),
        post_principal=run.post_principal,
        finish_time=timestamp(run.finish_time),
        detached_days=[
            admin.SkippedDay(day=day.day.isoformat(), entries=day.entries, cost_usd=format_usd(day.cost_nano_usd))
            for day in detached
        ],
        failure=run.failure,
    )


def difference_message(difference: Difference) -> admin.ReratingDifference:
    return admin.ReratingDifference(
        team=bare_id(difference.team), model=difference.model, sums=sums_message(difference.sums)
    )


def sums_message(sums: DifferenceSums) -> admin.ReratingSums:
    return admin.ReratingSums(
        changed_entries=sums.changed_entries,
        newly_priced_entries=sums.newly_priced_entries,
        newly_unpriced_entries=sums.newly_unpriced_entries,
        closed_entries=sums.closed_entries,
        cost_before_usd=format_usd(sums.cost_before_nano_usd),
        cost_after_usd=format_usd(sums.cost_after_nano_usd),
        difference_usd=format_usd(sums.difference_nano_usd),
        closed_difference_usd=format_usd(sums.closed_difference_nano_usd),
    )


def _position_time(run: ReratingRun) -> datetime:
    time_s, time_ms = divmod(event_time_ms(run.position), 1000)
    return datetime.fromtimestamp(time_s, UTC).replace(microsecond=time_ms * 1000)
