"""The ledger's tables, as migrations 0002, 0003, 0005, 0006 and 0008 make them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, INT8RANGE, JSONB

from controlplane.ledger.entries import GROUP_DIMENSIONS, LATENCY_COUNTS, ROLLUP_SUMS

_Time = DateTime(timezone=True)

ledger_metadata = MetaData()

ledger_entry = Table(
    "ledger_entry",
    ledger_metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("boot_id", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("request_id", Uuid, nullable=False),
    Column("client_request_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("team", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("key_owner", Text, nullable=False),
    Column("end_user", Text, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("operation", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("requested_model", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("response_model", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("start_time", _Time, nullable=False),
    Column("first_frame_time", _Time),
    Column("end_time", _Time),
    Column("status", Integer, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("client_gone", Boolean, nullable=False),
    Column("meters", JSONB, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("price", Text, nullable=False),
    Column("price_revision", BigInteger, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("booked_time", _Time, nullable=False, server_default=func.now()),
    Column("service_tier", Text, nullable=False),
    Column("basis", SmallInteger, nullable=False),
    Column("call_start_time", _Time, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("duration_bucket", SmallInteger),
    Column("first_frame_bucket", SmallInteger),
    Column("adjusts", Uuid),
    Column("run_id", Uuid),
    Column("prior_state", SmallInteger),
    # [bucket id, lease id or null, start of the window in Unix ms, nano-USD]; a fifth element marks what is no first
    # charge to its bucket.
    Column("charges", JSONB),
)

usage_group = Table(
    "usage_group",
    ledger_metadata,
    Column("group_id", Uuid, primary_key=True),
    *(Column(name, Text, nullable=False) for name in GROUP_DIMENSIONS),
    Column("labels", JSONB, nullable=False),
)

usage_rollup = Table(
    "usage_rollup",
    ledger_metadata,
    Column("span_s", Integer, primary_key=True),
    Column("slot", _Time, primary_key=True),
    Column("group_id", Uuid, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in ROLLUP_SUMS),
)

usage_latency = Table(
    "usage_latency",
    ledger_metadata,
    Column("span_s", Integer, primary_key=True),
    Column("slot", _Time, primary_key=True),
    Column("group_id", Uuid, primary_key=True),
    Column("bucket", SmallInteger, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in LATENCY_COUNTS),
)

# The partitions of quarter hours: writing to them directly saves a search for the right one per row.
quarter_rollup = usage_rollup.to_metadata(MetaData(), name="usage_rollup_900")
quarter_latency = usage_latency.to_metadata(MetaData(), name="usage_latency_900")

usage_day = Table(
    "usage_day",
    ledger_metadata,
    Column("day", Date, primary_key=True),
    Column("folded", Boolean, nullable=False),
    Column("change_time", _Time, nullable=False, server_default=func.now()),
)

# Sums over all other dimensions, of days that are folded.
usage_marginal = Table(
    "usage_marginal",
    ledger_metadata,
    Column("dimension", Text, primary_key=True),
    Column("span_s", Integer, primary_key=True),
    Column("slot", _Time, primary_key=True),
    Column("value", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in ROLLUP_SUMS),
)

usage_latency_marginal = Table(
    "usage_latency_marginal",
    ledger_metadata,
    Column("dimension", Text, primary_key=True),
    Column("span_s", Integer, primary_key=True),
    Column("slot", _Time, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("bucket", SmallInteger, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in LATENCY_COUNTS),
)

ledger_producer = Table(
    "ledger_producer",
    ledger_metadata,
    Column("boot_id", BigInteger, primary_key=True),
    Column("booked", INT8MULTIRANGE, nullable=False),
    Column("first_time", _Time, nullable=False, server_default=func.now()),
    Column("last_time", _Time, nullable=False, server_default=func.now()),
    # When it was known that all of its events are booked and that there will be no more.
    Column("complete_time", _Time),
)

ledger_stream_mark = Table(
    "ledger_stream_mark",
    ledger_metadata,
    Column("stream", Text, primary_key=True),
    Column("drained_through", _Time, nullable=False),
)

ledger_detached_day = Table(
    "ledger_detached_day",
    ledger_metadata,
    Column("day", Date, primary_key=True),
    Column("table_name", Text, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("cost_nano_usd", Numeric, nullable=False),
    Column("detach_time", _Time, nullable=False, server_default=func.now()),
    Column("adjustments", BigInteger, nullable=False),
)

ledger_metadata_key = Table(
    "ledger_metadata_key",
    ledger_metadata,
    Column("key", Text, primary_key=True),
    Column("since", _Time, primary_key=True),
    Column("until", _Time),
)

# The values of declared keys that have sums of their own on a day.
ledger_metadata_value = Table(
    "ledger_metadata_value",
    ledger_metadata,
    Column("day", Date, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, primary_key=True),
)

ledger_dead_letter = Table(
    "ledger_dead_letter",
    ledger_metadata,
    Column("subject", Text, primary_key=True),
    Column("stream_sequence", BigInteger, primary_key=True),
    Column("event_index", Integer, primary_key=True),
    Column("payload_digest", LargeBinary, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("deliveries", BigInteger, nullable=False),
    Column("first_time", _Time, nullable=False, server_default=func.now()),
    Column("last_time", _Time, nullable=False, server_default=func.now()),
    Column("letter_id", BigInteger, Identity(always=True), unique=True),
    Column("boot_id", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("replays", Integer, nullable=False, server_default="0"),
    Column("discard_time", _Time),
    Column("discard_principal", Text, nullable=False, server_default=""),
    Column("discard_reason", Text, nullable=False, server_default=""),
)

ledger_gap = Table(
    "ledger_gap",
    ledger_metadata,
    Column("boot_id", BigInteger, primary_key=True),
    Column("missing", INT8RANGE, primary_key=True),
    Column("seen_time", _Time, nullable=False),
)

ledger_producer_horizon = Table(
    "ledger_producer_horizon",
    ledger_metadata,
    Column("is_only", Boolean, primary_key=True, server_default="true"),
    Column("forgotten_before", _Time, nullable=False),
)

ledger_check = Table(
    "ledger_check",
    ledger_metadata,
    Column("is_only", Boolean, primary_key=True, server_default="true"),
    Column("start_time", _Time, nullable=False),
    Column("end_time", _Time),
    Column("days", Integer, nullable=False, server_default="0"),
    Column("drifts", BigInteger, nullable=False, server_default="0"),
)

ledger_replay = Table(
    "ledger_replay",
    ledger_metadata,
    Column("replay_id", BigInteger, Identity(always=True), primary_key=True),
    Column("since_time", _Time, nullable=False),
    Column("until_time", _Time, nullable=False),
    Column("principal", Text, nullable=False),
    Column("request_time", _Time, nullable=False, server_default=func.now()),
    Column("state", Text, nullable=False),
    Column("stream_created", Text, nullable=False, server_default=""),
    Column("next_sequence", BigInteger, nullable=False, server_default="0"),
    Column("last_sequence", BigInteger, nullable=False, server_default="0"),
    Column("tap_start_time", _Time),
    Column("messages", BigInteger, nullable=False, server_default="0"),
    Column("inserted", BigInteger, nullable=False, server_default="0"),
    Column("duplicates", BigInteger, nullable=False, server_default="0"),
    Column("dead_letters", BigInteger, nullable=False, server_default="0"),
    Column("end_time", _Time),
    Column("problem", Text, nullable=False, server_default=""),
    Column("worker", Uuid),
    Column("lease_end", _Time),
)
