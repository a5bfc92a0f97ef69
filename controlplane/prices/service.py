"""Changing methods of price books; each runs inside the caller's unit of work."""

import asyncio

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.errors import AlreadyExists, InvalidArgument
from controlplane.prices.activation import activate, check_deletable, effective_moment, withdraw
from controlplane.prices.diff import diff_books
from controlplane.prices.headers import check_book_name, header_of, missing_book, present_book, starts_ms, to_ms
from controlplane.prices.litellm import UnreadableFile, import_litellm
from controlplane.prices.render import diff_summary
from controlplane.prices.shelf import all_books, book_periods, store_header, store_new_book, store_tombstone
from controlplane.prices.timeline import book_in_force, is_needed, periods_of
from controlplane.resources.rows import StoredResource
from controlplane.resources.writer import Caller, check_etag
from tollway.admin.v1.price_books_pb2 import (
    ActivatePriceBookRequest,
    DeletePriceBookRequest,
    ImportPriceBookRequest,
    ImportPriceBookResponse,
    PriceBook,
    WithdrawPriceBookRequest,
)
from tollway.resources.book import build_price_book, installed_fingerprint
from tollway.resources.imports import ImportedBook
from tollway.resources.violations import Violation


async def read_source(request: ImportPriceBookRequest) -> ImportedBook:
    """The book that the request's source makes, read beside the event loop. Raises InvalidArgument."""
    match request.WhichOneof("source"):
        case "installed_catalog" if request.installed_catalog:
            return await asyncio.to_thread(build_price_book)
        case "litellm_json":
            try:
                imported = await asyncio.to_thread(import_litellm, request.litellm_json)
            except UnreadableFile as error:
                raise InvalidArgument([Violation("litellm_json", str(error))]) from None
            if all(row.price.provider == "sim" for row in imported.book.prices):
                text = f"holds no price that this release can use; it left out: {_left_out(imported)}"
                raise InvalidArgument([Violation("litellm_json", text)])
            return imported
        case _:
            text = "is required: installed_catalog true, or litellm_json with the file's content"
            raise InvalidArgument([Violation("source", text)])


def _left_out(imported: ImportedBook) -> str:
    counts = [f"{reason} ({len(subjects)})" for reason, subjects in imported.omissions.items()]
    return "; ".join(counts[:5]) or "nothing, as it is empty"


async def import_book(
    unit: UnitOfWork, caller: Caller, request: ImportPriceBookRequest, imported: ImportedBook
) -> ImportPriceBookResponse:
    """Stores `imported`, or finds the book with the same prices. Raises AlreadyExists for a name that is taken."""
    rows = await all_books(unit.resources)
    found = next((row for row in rows if header_of(row).digest == imported.digest), None)
    name = _free_name(request, imported, [row.name for row in rows if row is not found])
    row = found
    if row is None:
        is_installed = request.WhichOneof("source") == "installed_catalog"
        fingerprint = installed_fingerprint() if is_installed else ""
        row = await store_new_book(unit, caller, name, imported, fingerprint=fingerprint)
    periods = book_periods(rows)
    answer = ImportPriceBookResponse(price_book=present_book(row, periods, unit.now), created=found is None)
    base = book_in_force(periods, to_ms(unit.now))
    if base:
        before = (await unit.books.rows_of([base]))[base]
        answer.diff.CopyFrom(diff_summary(base, diff_books(before, imported.book.prices, to_ms(unit.now))))
    return answer


def _free_name(request: ImportPriceBookRequest, imported: ImportedBook, taken: list[str]) -> str:
    if not request.price_book_id:
        return imported.name
    name = check_book_name(request.price_book_id, "price_book_id")
    if name in taken:
        raise AlreadyExists(f"PriceBook {name} exists already, with other prices; take another id", resource=name)
    return name


async def activate_book(unit: UnitOfWork, caller: Caller, request: ActivatePriceBookRequest) -> PriceBook:
    """Raises NotFound, Aborted on another etag, InvalidArgument for a moment at which it cannot take effect."""
    rows = await all_books(unit.resources)
    row = _find(rows, request.name, request.etag)
    header = header_of(row)
    asked = request.effective_from.ToDatetime(unit.now.tzinfo) if request.HasField("effective_from") else None
    moment = effective_moment(asked, row.name, [header_of(each) for each in rows], unit.now)
    if not activate(header, moment, book_periods(rows), unit.now, caller.principal.name):
        return present_book(row, book_periods(rows), unit.now)
    return _store(unit, caller, rows, row, header)


async def withdraw_book(unit: UnitOfWork, caller: Caller, request: WithdrawPriceBookRequest) -> PriceBook:
    """Raises NotFound, Aborted on another etag, FailedPrecondition when no activation is still to come."""
    rows = await all_books(unit.resources)
    row = _find(rows, request.name, request.etag)
    header = header_of(row)
    withdraw(header, unit.now)
    return _store(unit, caller, rows, row, header)


async def delete_book(unit: UnitOfWork, caller: Caller, request: DeletePriceBookRequest) -> None:
    """Raises NotFound unless allowed, Aborted on another etag, FailedPrecondition for a book that was in force."""
    name = check_book_name(request.name)
    row = await unit.resources.find(name)
    if row is None:
        if request.allow_missing:
            return
        raise missing_book(name)
    check_etag(request.etag, row)
    check_deletable(header_of(row), unit.now)
    if caller.validate_only:
        return
    await unit.books.delete(name)
    store_tombstone(unit, caller, row)


def _find(rows: list[StoredResource], name: str, etag: str) -> StoredResource:
    full_name = check_book_name(name)
    row = next((row for row in rows if row.name == full_name), None)
    if row is None:
        raise missing_book(full_name)
    check_etag(etag, row)
    return row


def _store(
    unit: UnitOfWork, caller: Caller, rows: list[StoredResource], row: StoredResource, header: PriceBook
) -> PriceBook:
    others = [(each.name, starts_ms(header_of(each))) for each in rows if each.name != row.name]
    periods = periods_of([*others, (row.name, starts_ms(header))])
    header.distributed = is_needed(row.name, periods, to_ms(unit.now))
    return present_book(store_header(unit, caller, row, header), periods, unit.now)
