"""Resources as etcd would keep them: a row per name and revision, the newest one marked current."""

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from controlplane.db.metadata import Time, config_metadata

config_head = Table(
    "config_head",
    config_metadata,
    Column("id", SmallInteger, primary_key=True),
    Column("epoch", Uuid, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

resource = Table(
    "resource",
    config_metadata,
    Column("name", Text, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("uid", Uuid, nullable=False),
    Column("etag", Text, nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("refs", ARRAY(Text), nullable=False),
    Column("claim", Text),
    Column("create_time", Time, nullable=False),
    Column("update_time", Time, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("current", Boolean, nullable=False),
)

served_request = Table(
    "served_request",
    config_metadata,
    Column("principal", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("sealed_response", LargeBinary, nullable=False),
    Column("create_time", Time, nullable=False),
)
