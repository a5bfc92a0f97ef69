"""The prices of this installation, compiled as data planes compile them: for explaining and for re-rating."""

import logging

from google.protobuf.json_format import ParseError

from controlplane.db.unit_of_work import ReadView, UnitOfWork
from controlplane.prices.headers import check_book_name, header_of, missing_book, project_book
from controlplane.prices.shelf import all_books
from controlplane.resources.convert import resource_to_message
from controlplane.resources.rows import StoredResource
from tollway.admin.v1.prices_pb2 import Price as AdminPrice
from tollway.config.v1.resources_pb2 import Resource
from tollway.kernel.price_index import PriceBook, PriceIndex
from tollway.kernel.pricing import Price
from tollway.resources.kinds import PRICE
from tollway.resources.pricing import compile_book, compile_price, make_index
from tollway.resources.project import project_price

logger = logging.getLogger(__name__)

_PAGE = 500


async def load_index(
    view: ReadView | UnitOfWork, book_id: str | None = None, revision: int | None = None
) -> PriceIndex:
    """Admins' prices over books, to price calls of any time; the prices of `revision`, the current ones without.

    Without `book_id` every book holds in the times it was activated for, as it was for calls then. With it, an id or a
    full name, that book holds at all times. Raises NotFound for a book that does not exist, and InvalidArgument.
    """
    prices = await _load_prices(view, revision)
    books = [row for row in await all_books(view.resources) if book_id is not None or header_of(row).activations]
    if book_id is not None:
        name = check_book_name(book_id, "book")
        books = [row for row in books if row.name == name]
        if not books:
            raise missing_book(name)
    rows = await view.books.rows_of([row.name for row in books])
    compiled: dict[str, PriceBook] = {}
    for row in books:
        resource = project_book(row, rows[row.name])
        if book_id is not None:
            del resource.price_book.effective_from_ms[:]
        compiled[row.name] = _compiled_book(resource)
    return make_index(prices, compiled)


async def _load_prices(view: ReadView | UnitOfWork, revision: int | None) -> dict[str, Price]:
    rows = await (_all_prices(view) if revision is None else view.resources.list_as_of(PRICE.name, revision))
    return {row.name: price for row in rows if (price := _compiled_price(row)) is not None}


async def _all_prices(view: ReadView | UnitOfWork) -> list[StoredResource]:
    found: list[StoredResource] = []
    after = ""
    while rows := await view.resources.list_page(PRICE.name, "", after, _PAGE):
        found += rows
        after = rows[-1].name
    return found


def _compiled_price(row: StoredResource) -> Price | None:
    """None for a stored price that this release cannot use, which data planes reject too."""
    try:
        message = resource_to_message(PRICE, row)
        assert isinstance(message, AdminPrice)
        return compile_price(project_price(message, row.revision))
    except (ParseError, ValueError, KeyError) as error:
        logger.error("price left out resource=%s reason=%r", row.name, str(error))
        return None


def _compiled_book(resource: Resource) -> PriceBook:
    book, problems = compile_book(resource)
    if problems:
        logger.error("rows of a price book left out resource=%s reason=%r", resource.name, problems)
    return book
