"""Digests of virtual keys: up to two valid ones per key."""

from sqlalchemy import Column, LargeBinary, Table, Text

from controlplane.db.metadata import Time, config_metadata

key_digest = Table(
    "key_digest",
    config_metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_name", Text, nullable=False),
    Column("create_time", Time, nullable=False),
    Column("expire_time", Time),
)
