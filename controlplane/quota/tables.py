"""The tables of quota, as migration 0008 makes them."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, SmallInteger, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

_Time = DateTime(timezone=True)

quota_metadata = MetaData()

quota_bucket = Table(
    "quota_bucket",
    quota_metadata,
    Column("bucket_id", Uuid, primary_key=True),
    Column("window_start_ms", BigInteger, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("limit_index", Integer, nullable=False),
    Column("dimension_values", ARRAY(Text), nullable=False),
    Column("cap", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("escrow", BigInteger, nullable=False),
    Column("provisional", BigInteger, nullable=False),
    Column("prior", BigInteger, nullable=False),
    Column("charged_cost_nano_usd", BigInteger, nullable=False),
    Column("seed_time", _Time),
    Column("seeds", SmallInteger, nullable=False),
    Column("starved_us", BigInteger, nullable=False),
    Column("window_end_ms", BigInteger),
    Column("change_time", _Time, nullable=False, server_default=func.now()),
)

quota_lease = Table(
    "quota_lease",
    quota_metadata,
    Column("lease_id", Uuid, primary_key=True),
    Column("bucket_id", Uuid, nullable=False),
    Column("window_start_ms", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("boot_id", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("settled", BigInteger, nullable=False),
    Column("returned", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("change_time", _Time, nullable=False, server_default=func.now()),
)

quota_session = Table(
    "quota_session",
    quota_metadata,
    Column("boot_id", BigInteger, primary_key=True),
    Column("node", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("seen_time", _Time, nullable=False, server_default=func.now()),
)

quota_rate = Table(
    "quota_rate",
    quota_metadata,
    Column("bucket_id", Uuid, primary_key=True),
    Column("tat_us", BigInteger, nullable=False),
    Column("period_us", BigInteger, nullable=False),
    Column("holders", ARRAY(BigInteger), nullable=False),
    Column("earlier_holders", Integer, nullable=False),
    prefixes=["UNLOGGED"],
)

quota_rate_mark = Table(
    "quota_rate_mark",
    quota_metadata,
    Column("is_only", Boolean, primary_key=True, server_default="true"),
    Column("since_us", BigInteger, nullable=False),
    prefixes=["UNLOGGED"],
)

quota_gap = Table(
    "quota_gap",
    quota_metadata,
    Column("lease_id", Uuid, primary_key=True),
    Column("bucket_id", Uuid, nullable=False),
    Column("window_start_ms", BigInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("boot_id", BigInteger, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("open_time", _Time, nullable=False, server_default=func.now()),
    Column("close_time", _Time),
)
