"""Sealed values, and what shows whether the keys in use are the ones that the database was written with."""

from sqlalchemy import Column, Integer, LargeBinary, Table, Text, Uuid

from controlplane.db.metadata import config_metadata

secret = Table(
    "secret",
    config_metadata,
    Column("resource_name", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("resource_uid", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

key_check = Table(
    "key_check",
    config_metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
