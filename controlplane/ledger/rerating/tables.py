"""Runs and their differences, as migration 0007 makes them."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, SmallInteger, Table, Text, Uuid

from controlplane.ledger.rerating.differences import DIFFERENCE_SUMS
from controlplane.ledger.tables import ledger_metadata

_Time = DateTime(timezone=True)

rerating_run = Table(
    "rerating_run",
    ledger_metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("create_time", _Time, nullable=False),
    Column("start_time", _Time, nullable=False),
    Column("end_time", _Time, nullable=False),
    Column("filter", Text, nullable=False),
    Column("price_book", Text, nullable=False),
    Column("config_revision", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("position", Uuid, nullable=False),
    Column("examined_entries", BigInteger, nullable=False),
    Column("post_time", _Time),
    Column("post_principal", Text, nullable=False),
    Column("finish_time", _Time),
    Column("failure", Text, nullable=False),
)

rerating_difference = Table(
    "rerating_difference",
    ledger_metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("posted", Boolean, primary_key=True),
    Column("team", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in DIFFERENCE_SUMS),
)
