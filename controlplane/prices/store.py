"""Rows of price books; keeps what it is given."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Text, any_, delete, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.prices.row_content import content_to_row, row_to_content
from controlplane.prices.tables import price_book_row
from tollway.config.v1.resources_pb2 import BookPrice
from tollway.resources.pricing import book_model


class BookStore:
    """Books are known by full resource name."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, book: str, rows: Sequence[BookPrice]) -> None:
        """Keeps the rows of a new book, in order."""
        await self._connection.execute(
            insert(price_book_row), [_to_columns(book, position, row) for position, row in enumerate(rows, 1)]
        )

    async def rows_of(self, books: Collection[str]) -> dict[str, list[BookPrice]]:
        """All rows in order, by book."""
        found: dict[str, list[BookPrice]] = {book: [] for book in books}
        query = (
            select(price_book_row.c.book, price_book_row.c.content)
            .where(price_book_row.c.book == any_(literal(list(books), ARRAY(Text))))
            .order_by(price_book_row.c.book, price_book_row.c.position)
        )
        for book, content in await self._connection.execute(query) if books else ():
            found[book].append(content_to_row(content))
        return found

    async def list_page(
        self, book: str, filters: Mapping[str, str], after: int, limit: int
    ) -> list[tuple[int, BookPrice]]:
        """Rows with their positions, after position `after`; `filters` are equalities of provider and model."""
        query = select(price_book_row.c.position, price_book_row.c.content).where(
            price_book_row.c.book == book, price_book_row.c.position > after
        )
        for field, value in filters.items():
            query = query.where(price_book_row.c[field] == value)
        rows = await self._connection.execute(query.order_by(price_book_row.c.position).limit(limit))
        return [(position, content_to_row(content)) for position, content in rows]

    async def delete(self, book: str) -> None:
        await self._connection.execute(delete(price_book_row).where(price_book_row.c.book == book))


def _to_columns(book: str, position: int, row: BookPrice) -> dict[str, Any]:
    return {
        "book": book,
        "position": position,
        "id": row.id,
        "provider": row.price.provider,
        "model": book_model(row),
        "content": row_to_content(row),
    }
