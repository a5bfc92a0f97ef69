"""Data planes that are or were lately connected, whichever control plane they are connected to."""

from sqlalchemy import BigInteger, Boolean, Column, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.db.metadata import Time, config_metadata

data_plane = Table(
    "data_plane",
    config_metadata,
    Column("node", Text, primary_key=True),
    Column("boot_id", Text, nullable=False),
    Column("build", Text, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("rejections", JSONB, nullable=False),
    Column("connect_time", Time, nullable=False),
    Column("last_seen_time", Time, nullable=False),
)
