"""Rows of the ledger -> admin messages. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.ledger.convert import request_text
from controlplane.ledger.entries import TOKEN_SUMS, token_sums
from controlplane.ledger.latency import bucket_ms
from controlplane.ledger.reading.dimensions import collection_of
from controlplane.ledger.reading.queries import NO_BUCKET, PERCENTILES, Row
from controlplane.ledger.reading.requests import SumsPage
from controlplane.ledger.times import timestamp
from tollway.admin.v1.usage_pb2 import UsageAdjustment, UsageAttempt, UsageRecord, UsageRow
from tollway.kernel.money import format_usd
from tollway.kernel.names import bare_id
from tollway.kernel.usage import SettlementState

RECORD_COLLECTION = "usageRecords"
_SHOWN_DECIMALS = 4
_COPIED_SUMS = ("requests", "attempts", "refused", "errors", *TOKEN_SUMS)


def usage_row(row: Row, page: SumsPage) -> UsageRow:
    """A row of sums of a page."""
    query = page.query
    number = row["number"]
    group = {name: shown_value(name, row[f"d{place}"]) for place, name in enumerate(query.group_by)}
    return _sums_row(row, group, query.boundaries[number], query.boundaries[number + 1])


def total_row(row: Row, page: SumsPage) -> UsageRow:
    """The sums of a whole query."""
    return _sums_row(row, {}, page.query.start, page.query.end)


def shown_value(dimension: str, value: str) -> str:
    """A dimension's value as reports show it: teams, upstreams and routes by their bare ids."""
    return bare_id(value) if collection_of(dimension) else value


def _sums_row(row: Row, group: Mapping[str, str], start: datetime, end: datetime) -> UsageRow:
    states = {state.word: row[f"state_{state.word}"] for state in SettlementState}
    shown = UsageRow(
        group=group,
        start_time=timestamp(start),
        end_time=timestamp(end),
        cost_usd=format_usd(row["cost_nano_usd"]),
        failed_cost_usd=format_usd(row["failed_cost_nano_usd"]),
        adjustment_usd=format_usd(row["adjustment_nano_usd"]),
        states=states,
        billable_attempts=sum(states[state.word] for state in SettlementState if state.is_billable),
        **{name: row[name] for name in _COPIED_SUMS},
    )
    for name in PERCENTILES:
        bucket = row.get(name, NO_BUCKET)
        if bucket != NO_BUCKET:
            setattr(shown, name, round(bucket_ms(bucket), _SHOWN_DECIMALS))
    return shown


def usage_record(entries: Sequence[Row]) -> UsageRecord:
    """One call; `entries` are its attempts in order, one of them final, and adjustments of them."""
    attempts = [entry for entry in entries if entry["adjusts"] is None]
    adjustments = [entry for entry in entries if entry["adjusts"] is not None]
    first = attempts[0]
    final = next(entry for entry in reversed(attempts) if entry["final"])
    tokens = [token_sums(entry["meters"]) for entry in attempts]
    request_id = request_text(final["request_id"])
    return UsageRecord(
        name=f"{RECORD_COLLECTION}/{request_id}",
        request_id=request_id,
        client_request_id=final["client_request_id"],
        team=final["team"],
        key=final["key"],
        user=final["key_owner"],
        end_user=final["end_user"],
        metadata=final["metadata"],
        operation=final["operation"],
        route=final["route"],
        model=final["requested_model"],
        stream=final["stream"],
        status=final["status"],
        error_code=final["error_code"],
        refused=final["attempt"] == 0,
        start_time=timestamp(first["start_time"]),
        end_time=timestamp(final["end_time"]),
        input_tokens=sum(t.input_tokens for t in tokens),
        output_tokens=sum(t.output_tokens for t in tokens),
        cache_read_tokens=sum(t.cache_read_tokens for t in tokens),
        cache_write_tokens=sum(t.cache_write_tokens for t in tokens),
        reasoning_tokens=sum(t.reasoning_tokens for t in tokens),
        cost_usd=format_usd(sum(entry["cost_nano_usd"] for entry in entries)),
        adjustment_usd=format_usd(sum(entry["cost_nano_usd"] for entry in adjustments)),
        attempts=[_usage_attempt(entry, adjustments) for entry in attempts if entry["attempt"] > 0],
    )


def _usage_attempt(entry: Row, adjustments: Sequence[Row]) -> UsageAttempt:
    state = SettlementState(entry["state"])
    return UsageAttempt(
        attempt=entry["attempt"],
        upstream=entry["upstream"],
        provider=entry["provider"],
        upstream_model=entry["upstream_model"],
        response_model=entry["response_model"],
        status=entry["status"],
        error_code=entry["error_code"],
        start_time=timestamp(entry["start_time"]),
        first_frame_time=timestamp(entry["first_frame_time"]),
        end_time=timestamp(entry["end_time"]),
        meters=entry["meters"],
        state=state.word,
        billable=state.is_billable,
        cost_usd=format_usd(entry["cost_nano_usd"]),
        price=entry["price"],
        price_revision=entry["price_revision"],
        event_id=str(entry["event_id"]),
        service_tier=entry["service_tier"],
        basis=_state_word(entry["basis"]),
        adjustments=[_usage_adjustment(each) for each in adjustments if each["adjusts"] == entry["event_id"]],
    )


def _usage_adjustment(entry: Row) -> UsageAdjustment:
    return UsageAdjustment(
        event_id=str(entry["event_id"]),
        run_id=str(entry["run_id"] or ""),
        difference_usd=format_usd(entry["cost_nano_usd"]),
        state=_state_word(entry["state"]),
        prior_state=_state_word(entry["prior_state"]),
        price=entry["price"],
        price_revision=entry["price_revision"],
        start_time=timestamp(entry["start_time"]),
        booked_time=timestamp(entry["booked_time"]),
    )


def _state_word(number: int | None) -> str:
    return SettlementState(number).word if number else ""
