"""Closed months, as migration 0007 makes them."""

from sqlalchemy import BigInteger, Column, Date, DateTime, Table, Text

from controlplane.ledger.tables import ledger_metadata

ledger_closed_month = Table(
    "ledger_closed_month",
    ledger_metadata,
    Column("month", Date, primary_key=True),
    Column("close_time", DateTime(timezone=True), nullable=False),
    Column("principal", Text, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
)
