"""Storing price books inside a unit of work: a new one, another header, a tombstone."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.prices.headers import (
    FINGERPRINT_LABEL,
    PRICE_BOOK_KIND,
    header_of,
    imported_header,
    starts_ms,
    to_ms,
    with_header,
)
from controlplane.prices.timeline import Period, is_needed, periods_of
from controlplane.resources.rows import StoredResource
from controlplane.resources.store import ResourceStore
from controlplane.resources.writer import Caller, audit_entry, first_revision, new_revision
from tollway.admin.v1.price_books_pb2 import PriceBook, PriceBookActivation
from tollway.resources.imports import ImportedBook

_PAGE = 500


async def all_books(resources: ResourceStore) -> list[StoredResource]:
    """Every book that is not deleted, in order of name."""
    rows = page = await resources.list_page(PRICE_BOOK_KIND, "", "", _PAGE)
    while len(page) == _PAGE:
        page = await resources.list_page(PRICE_BOOK_KIND, "", page[-1].name, _PAGE)
        rows = rows + page
    return rows


async def store_new_book(
    unit: UnitOfWork,
    caller: Caller,
    name: str,
    imported: ImportedBook,
    *,
    fingerprint: str = "",
    is_first: bool = False,
) -> StoredResource:
    """The first book of an installation holds since ever; every other one waits until it is activated."""
    header = imported_header(imported)
    if is_first:
        activation = PriceBookActivation(principal=caller.principal.name)
        activation.activate_time.FromDatetime(unit.now)
        header.activations.append(activation)
        header.distributed = True
    row = with_header(first_revision(PRICE_BOOK_KIND, name, unit), header)
    if fingerprint:
        row = replace(row, labels={FINGERPRINT_LABEL: fingerprint})
    if not caller.validate_only:
        await unit.books.put(name, imported.book.prices)
        unit.record(row, audit_entry(unit, caller, None, row))
    return row


def store_header(unit: UnitOfWork, caller: Caller, row: StoredResource, header: PriceBook) -> StoredResource:
    """Makes `header` the next revision of the book in `row`."""
    after = with_header(new_revision(row, unit), header)
    if not caller.validate_only:
        unit.record(after, audit_entry(unit, caller, row, after))
    return after


def store_tombstone(unit: UnitOfWork, caller: Caller, row: StoredResource) -> None:
    """Marks the book in `row` as deleted."""
    gone = replace(row, revision=unit.next_revision, spec={}, labels={}, update_time=unit.now, deleted=True)
    unit.record(gone, audit_entry(unit, caller, row, None))


def retire(unit: UnitOfWork, caller: Caller, rows: Sequence[StoredResource]) -> list[str]:
    """Takes books off data planes that price no call any more; gives their names."""
    now_ms = to_ms(unit.now)
    periods = book_periods(rows)
    retired = []
    for row in rows:
        header = header_of(row)
        if header.distributed and not is_needed(row.name, periods, now_ms):
            header.distributed = False
            store_header(unit, caller, row, header)
            retired.append(row.name)
    return retired


def book_periods(rows: Iterable[StoredResource]) -> list[Period]:
    """When which of the books in `rows` holds, in order of time."""
    return periods_of((row.name, starts_ms(header_of(row))) for row in rows)
