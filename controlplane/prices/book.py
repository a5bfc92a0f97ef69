"""Keeps the built-in price book in the configuration, so that every data plane prices by the same one."""

import logging
from collections.abc import Callable
from dataclasses import replace

from google.protobuf import json_format

from controlplane.authz import AdminPrincipal
from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.resources.rows import StoredResource
from controlplane.resources.writer import Caller, audit_entry, first_revision, new_revision
from tollway.config.v1.resources_pb2 import PriceBook
from tollway.resources.book import build_price_book, installed_source, source_version
from tollway.resources.project import PRICE_BOOK_NAME

logger = logging.getLogger(__name__)

PRICE_BOOK_KIND = "PriceBook"
_CALLER = Caller(AdminPrincipal("system", "prices.ensure_price_book"))


async def ensure_price_book(config: ConfigStore, build: Callable[[], PriceBook] = build_price_book) -> bool:
    """Stores the book of the installed catalog unless one as new is there; says whether it did.

    Raises Unavailable when the database is away.
    """
    source = installed_source()
    async with config.read() as view:
        if _is_as_new(await view.resources.find(PRICE_BOOK_NAME), source):
            return False
    book = build()
    async with config.write() as unit:
        before = await unit.resources.find(PRICE_BOOK_NAME)
        if _is_as_new(before, source):
            return False
        _store(unit, book, before)
    logger.info("price book stored source=%r prices=%d", book.source, len(book.prices))
    return True


def stored_price_book(row: StoredResource) -> PriceBook:
    return json_format.ParseDict(dict(row.spec), PriceBook(), ignore_unknown_fields=True)


def _store(unit: UnitOfWork, book: PriceBook, before: StoredResource | None) -> None:
    row = first_revision(PRICE_BOOK_KIND, PRICE_BOOK_NAME, unit) if before is None else new_revision(before, unit)
    after = replace(row, spec=json_format.MessageToDict(book, preserving_proto_field_name=True))
    unit.record(after, audit_entry(unit, _CALLER, before, after))


def _is_as_new(row: StoredResource | None, source: str) -> bool:
    return row is not None and source_version(str(row.spec.get("source", ""))) >= source_version(source)
