"""Keeps a price book of the installed catalog, and takes superseded books off data planes when their time is over."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from controlplane.authz import AdminPrincipal
from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.errors import Unavailable
from controlplane.prices.headers import FINGERPRINT_LABEL, header_of
from controlplane.prices.shelf import all_books, retire, store_new_book
from controlplane.resources.rows import StoredResource
from controlplane.resources.writer import Caller, audit_entry, new_revision
from tollway.resources.book import build_price_book, installed_fingerprint
from tollway.resources.imports import ImportedBook

logger = logging.getLogger(__name__)

RETIRE_INTERVAL_S = 600.0
_IMPORTER = Caller(AdminPrincipal("system", "prices.ensure_price_book"))
_RETIRER = Caller(AdminPrincipal("system", "prices.retire_books"))


async def ensure_price_book(config: ConfigStore, build: Callable[[], ImportedBook] = build_price_book) -> bool:
    """Imports the installed catalog unless that was done; says whether it did.

    It takes effect by itself only where no book ever did. Raises Unavailable when the database is away.
    """
    fingerprint = installed_fingerprint()
    async with config.read() as view:
        if _has_fingerprint(await all_books(view.resources), fingerprint):
            return False
    imported = await asyncio.to_thread(build)
    async with config.write() as unit:
        rows = await all_books(unit.resources)
        if _has_fingerprint(rows, fingerprint):
            return False
        same = next((row for row in rows if row.name == imported.name), None)
        if same is not None:
            _mark(unit, same, fingerprint)
            return False
        is_first = not any(header_of(row).activations for row in rows)
        await store_new_book(unit, _IMPORTER, imported.name, imported, fingerprint=fingerprint, is_first=is_first)
    logger.info("price book imported name=%s prices=%d active=%s", imported.name, len(imported.book.prices), is_first)
    return True


async def retire_books(config: ConfigStore) -> list[str]:
    """Takes off data planes what prices no call any more; gives the names. Raises Unavailable."""
    async with config.write() as unit:
        return retire(unit, _RETIRER, await all_books(unit.resources))


async def keep_retiring(config: ConfigStore, interval_s: float = RETIRE_INTERVAL_S) -> None:
    """Runs until cancelled; while the database is away, later is soon enough."""
    while True:
        try:
            retired = await retire_books(config)
        except Unavailable as error:
            logger.warning("superseded price books stay with data planes for now error=%r", str(error))
        else:
            for name in retired:
                logger.info("superseded price book taken off data planes name=%s", name)
        await asyncio.sleep(interval_s)


def _mark(unit: UnitOfWork, row: StoredResource, fingerprint: str) -> None:
    """Notes that the installed catalog makes the very book in `row`."""
    after = replace(new_revision(row, unit), labels={**row.labels, FINGERPRINT_LABEL: fingerprint})
    unit.record(after, audit_entry(unit, _IMPORTER, row, after))


def _has_fingerprint(rows: Sequence[StoredResource], fingerprint: str) -> bool:
    return any(row.labels.get(FINGERPRINT_LABEL) == fingerprint for row in rows)
