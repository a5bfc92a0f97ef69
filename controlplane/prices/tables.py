"""The rows of price books: written once, and deleted only with a book that was never in force."""

from sqlalchemy import Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.db.metadata import config_metadata

price_book_row = Table(
    "price_book_row",
    config_metadata,
    Column("book", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("content", JSONB, nullable=False),
)
