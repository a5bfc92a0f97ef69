"""Alerts, as migration 0009 makes them."""

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
)
from sqlalchemy.dialects.postgresql import JSONB

_Time = DateTime(timezone=True)

budget_alert = Table(
    "budget_alert",
    MetaData(),
    Column("alert_id", Uuid, primary_key=True),
    Column("budget", Text, nullable=False),
    Column("budget_uid", Uuid, nullable=False),
    Column("bucket_id", Uuid, nullable=False),
    Column("bucket_group", JSONB, nullable=False),
    Column("window_start", _Time, nullable=False),
    Column("window_end", _Time),
    Column("threshold_percent", Integer, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("spent_nano_usd", BigInteger, nullable=False),
    Column("create_time", _Time, nullable=False),
    Column("standing", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("give_up_time", _Time, nullable=False),
    Column("reason", Text, nullable=False),
    Column("last_attempt_time", _Time),
    Column("next_attempt_time", _Time),
    Column("deliver_time", _Time),
    Column("receiver_digest", LargeBinary, nullable=False),
    Column("claim_end_time", _Time),
)
