"""The ledger's tables, as migration 0002 makes them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.ledger.entries import ROLLUP_DIMENSIONS, ROLLUP_SUMS

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
)

usage_rollup = Table(
    "usage_rollup",
    ledger_metadata,
    Column("quarter_start", _Time, primary_key=True),
    *(Column(name, Text, primary_key=True) for name in ROLLUP_DIMENSIONS[1:]),
    *(Column(name, BigInteger, nullable=False) for name in ROLLUP_SUMS),
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
)
