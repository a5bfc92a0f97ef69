"""What every config table is declared under, as migration 0001 makes them."""

from sqlalchemy import DateTime, MetaData

config_metadata = MetaData()

Time = DateTime(timezone=True)
