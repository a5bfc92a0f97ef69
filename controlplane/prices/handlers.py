"""The admin methods of price books."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import UnitOfWork
from controlplane.prices.reading import PriceBookReader
from controlplane.prices.service import activate_book, delete_book, import_book, read_source, withdraw_book
from controlplane.resources.transaction import Transactor
from controlplane.resources.writer import Caller
from tollway.admin.v1 import price_books_pb2 as admin

_SERVICE = "tollway.admin.v1.PriceBookService"


def price_book_handlers(reader: PriceBookReader, transactor: Transactor) -> dict[str, Handler]:
    changing = _ChangingMethods(transactor)
    handlers: dict[str, Handler] = {
        "ImportPriceBook": changing.import_book,
        "ActivatePriceBook": changing.activate,
        "WithdrawPriceBook": changing.withdraw,
        "DeletePriceBook": changing.delete,
        **_reading_handlers(reader),
    }
    return {f"{_SERVICE}/{method}": handler for method, handler in handlers.items()}


class _ChangingMethods:
    """Each runs as one transaction, and a repeated request id gets the first answer."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    async def import_book(self, principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.ImportPriceBookRequest)
        imported = await read_source(request)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.ImportPriceBookResponse:
            return await import_book(unit, caller, request, imported)

        return await self._transactor.run(principal, request, admin.ImportPriceBookResponse, respond)

    async def activate(self, principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.ActivatePriceBookRequest)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.PriceBook:
            return await activate_book(unit, caller, request)

        return await self._transactor.run(principal, request, admin.PriceBook, respond)

    async def withdraw(self, principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.WithdrawPriceBookRequest)

        async def respond(unit: UnitOfWork, caller: Caller) -> admin.PriceBook:
            return await withdraw_book(unit, caller, request)

        return await self._transactor.run(principal, request, admin.PriceBook, respond)

    async def delete(self, principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.DeletePriceBookRequest)

        async def respond(unit: UnitOfWork, caller: Caller) -> Empty:
            await delete_book(unit, caller, request)
            return Empty()

        return await self._transactor.run(principal, request, Empty, respond)


def _reading_handlers(reader: PriceBookReader) -> dict[str, Handler]:
    async def get_price_book(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.GetPriceBookRequest)
        return await reader.get(request.name)

    async def list_price_books(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.ListPriceBooksRequest)
        return await reader.list_books(request)

    async def list_book_prices(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.ListBookPricesRequest)
        return await reader.list_prices(request)

    async def diff_price_book(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.DiffPriceBookRequest)
        return await reader.diff(request)

    async def resolve_price(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, admin.ResolvePriceRequest)
        return await reader.resolve(request)

    return {
        "GetPriceBook": get_price_book,
        "ListPriceBooks": list_price_books,
        "ListBookPrices": list_book_prices,
        "DiffPriceBook": diff_price_book,
        "ResolvePrice": resolve_price,
    }
