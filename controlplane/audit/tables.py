"""The audit log: appended to by the transaction that makes the change."""

from sqlalchemy import BigInteger, Column, Identity, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.db.metadata import Time, config_metadata

audit_event = Table(
    "audit_event",
    config_metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("time", Time, nullable=False),
    Column("principal", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("before", JSONB(none_as_null=True)),
    Column("after", JSONB(none_as_null=True)),
    Column("request_id", Text, nullable=False),
)
