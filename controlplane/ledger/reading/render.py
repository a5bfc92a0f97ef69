"""Rows of the ledger -> admin messages. Pure."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.ledger.convert import request_text
from controlplane.ledger.entries import token_sums
from controlplane.ledger.reading.queries import Row
from tollway.admin.v1.usage_pb2 import UsageAttempt, UsageRecord, UsageRow
from tollway.kernel.money import format_usd
from tollway.kernel.names import bare_id
from tollway.kernel.usage import SettlementState

RECORD_COLLECTION = "usageRecords"
_SHOWN_BARE = frozenset({"team", "upstream"})
_COPIED_SUMS = (
    "requests",
    "attempts",
    "refused",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def usage_row(row: Row, group_by: Sequence[str], start: datetime) -> UsageRow:
    """A row of sums; `start` is that of its time slot."""
    return UsageRow(
        group={name: bare_id(row[name]) if name in _SHOWN_BARE else row[name] for name in group_by},
        start_time=timestamp(start),
        cost_usd=format_usd(row["cost_nano_usd"]),
        states={state.word: row[f"state_{state.word}"] for state in SettlementState},
        **{name: row[name] for name in _COPIED_SUMS},
    )


def usage_record(entries: Sequence[Row]) -> UsageRecord:
    """One call; `entries` are its attempts in order, one of them final."""
    first = entries[0]
    final = next(entry for entry in reversed(entries) if entry["final"])
    tokens = [token_sums(entry["meters"]) for entry in entries]
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
        attempts=[_usage_attempt(entry) for entry in entries if entry["attempt"] > 0],
    )


def timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def _usage_attempt(entry: Row) -> UsageAttempt:
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
        state=SettlementState(entry["state"]).word,
        cost_usd=format_usd(entry["cost_nano_usd"]),
        price=entry["price"],
        price_revision=entry["price_revision"],
        event_id=str(entry["event_id"]),
    )
