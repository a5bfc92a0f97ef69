"""Reads the configuration, or what changed in it, out of the database and into machine form."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping

from controlplane.db.unit_of_work import ConfigStore, ReadView
from controlplane.discovery.projection import (
    Credential,
    NotProjectable,
    Projected,
    group_digests,
    is_distributed_book,
    project_row,
)
from controlplane.discovery.state import ConfigState
from controlplane.keys.rows import StoredDigest
from controlplane.resources.rows import LAST_NAME, StoredResource
from controlplane.secrets.behaviour import open_credential
from controlplane.secrets.rows import SealedSecret
from controlplane.secrets.vault import SecretUnreadable, Vault
from tollway.config.v1.resources_pb2 import BookPrice
from tollway.resources.kinds import UPSTREAM, VIRTUAL_KEY

logger = logging.getLogger(__name__)

_PAGE = 500


class ConfigSource:
    """Secrets are opened here, and only for the feed."""

    def __init__(self, config: ConfigStore, vault: Vault) -> None:
        self._config = config
        self._vault = vault

    async def refresh(self, state: ConfigState | None) -> ConfigState:
        """`state` brought up to the database, or a new one when it has another history.

        Raises Unavailable when the database is away.
        """
        async with self._config.read() as view:
            head = view.head
            if state is None or state.epoch != head.epoch or state.revision > head.revision:
                return ConfigState(head.epoch, head.revision, await self._changes(view, 0))
            if state.revision < head.revision:
                state.advance(head.revision, await self._changes(view, state.revision))
            return state

    async def _changes(self, view: ReadView, since: int) -> list[Projected]:
        """Page by page, so that a large configuration keeps nothing else waiting."""
        changes: list[Projected] = []
        rows = await view.resources.changed_after(since, LAST_NAME, _PAGE)
        while rows:
            digests = group_digests(await view.digests.list_of(_names(rows, VIRTUAL_KEY.name)))
            sealed = await view.secrets.list_of(_names(rows, UPSTREAM.name))
            credentials = {row.resource_name: self._open(row) for row in sealed}
            books = await view.books.rows_of([row.name for row in rows if is_distributed_book(row)])
            changes.extend(_project(rows, digests, credentials, books))
            last = rows[-1]
            rows = [] if len(rows) < _PAGE else await view.resources.changed_after(last.revision, last.name, _PAGE)
        return changes

    def _open(self, row: SealedSecret) -> Credential:
        try:
            return Credential(open_credential(self._vault, row))
        except SecretUnreadable as error:
            logger.error("secret withheld from data planes resource=%s reason=%r", row.resource_name, str(error))
            return Credential(problem=str(error))


def _project(
    rows: Iterable[StoredResource],
    digests: Mapping[str, Iterable[StoredDigest]],
    credentials: Mapping[str, Credential],
    books: Mapping[str, Iterable[BookPrice]],
) -> Iterator[Projected]:
    for row in rows:
        try:
            yield project_row(row, digests.get(row.name, ()), credentials.get(row.name), books.get(row.name, ()))
        except NotProjectable as error:
            logger.error("resource withheld from data planes resource=%s reason=%r", row.name, str(error))


def _names(rows: Iterable[StoredResource], kind: str) -> Collection[str]:
    return [row.name for row in rows if row.kind == kind and not row.deleted]
