"""Rows of resources and of answered requests; keeps what it is given."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.resources.tables import config_head, resource, served_request

MAX_SHOWN_REFERRERS = 5


@dataclass(frozen=True, slots=True)
class Head:
    """Identity of the database, and the newest revision in it."""

    epoch: str
    revision: int


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One revision of one resource.

    `refs` are the full names that it refers to, `claim` is what no other resource may have, e.g. a route's model.
    """

    name: str
    revision: int
    kind: str
    uid: uuid.UUID
    etag: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str]
    refs: tuple[str, ...]
    claim: str | None
    create_time: datetime
    update_time: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """An answered request, kept so that its repetition gets the same answer."""

    principal: str
    method: str
    request_id: str
    fingerprint: bytes
    sealed_response: bytes
    create_time: datetime


class HeadStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read(self) -> Head:
        return _to_head((await self._connection.execute(select(config_head))).mappings().one())

    async def lock(self) -> Head:
        """Waits for and then keeps out every other writer until this transaction ends."""
        return _to_head((await self._connection.execute(select(config_head).with_for_update())).mappings().one())

    async def advance(self) -> int:
        """Takes the next revision: no two transactions get the same one, and commits follow their order."""
        statement = update(config_head).values(revision=config_head.c.revision + 1).returning(config_head.c.revision)
        revision: int = (await self._connection.execute(statement)).scalar_one()
        return revision

    async def notify(self, channel: str, revision: int) -> None:
        """Wakes listeners when this transaction commits."""
        await self._connection.execute(select(func.pg_notify(channel, str(revision))))


class ResourceStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, name: str) -> StoredResource | None:
        """The current revision of a resource that is not deleted."""
        found = await self.find_all([name])
        return found.get(name)

    async def find_all(self, names: Collection[str]) -> dict[str, StoredResource]:
        """Those of `names` that exist, by name."""
        query = _live().where(resource.c.name.in_(names))
        rows = await self._connection.execute(query)
        return {row["name"]: _to_resource(row) for row in rows.mappings()}

    async def list_page(self, kind: str, prefix: str, after: str, limit: int) -> list[StoredResource]:
        """Resources of a kind whose names begin with `prefix`, a collection with its "/", in order, after `after`."""
        query = _live().where(resource.c.kind == kind, resource.c.name > max(prefix, after)).limit(limit)
        if prefix:
            query = query.where(resource.c.name < prefix[:-1] + "0")
        rows = await self._connection.execute(query.order_by(resource.c.name))
        return [_to_resource(row) for row in rows.mappings()]

    async def referrers(self, name: str) -> list[str]:
        """Names of up to MAX_SHOWN_REFERRERS + 1 resources that refer to `name`."""
        query = (
            select(resource.c.name)
            .where(resource.c.current, ~resource.c.deleted, resource.c.refs.contains([name]))
            .order_by(resource.c.name)
            .limit(MAX_SHOWN_REFERRERS + 1)
        )
        return list((await self._connection.scalars(query)).all())

    async def claimants(self, claims: Collection[str]) -> dict[str, str]:
        """Who has which of `claims`: names by claim."""
        query = select(resource.c.claim, resource.c.name).where(
            resource.c.current, ~resource.c.deleted, resource.c.claim.in_(claims)
        )
        return {claim: name for claim, name in await self._connection.execute(query) if claim is not None}

    async def put(self, row: StoredResource) -> None:
        """Makes `row` the current revision of its name."""
        await self._connection.execute(
            update(resource).where(resource.c.name == row.name, resource.c.current).values(current=False)
        )
        values = {column.name: getattr(row, column.name) for column in resource.c if column.name != "current"}
        values["refs"] = list(row.refs)
        await self._connection.execute(insert(resource).values(**values, current=True))

    async def changed_since(self, revision: int) -> list[StoredResource]:
        """The current form of everything that changed after `revision`, tombstones included."""
        query = select(resource).where(resource.c.current, resource.c.revision > revision)
        rows = await self._connection.execute(query.order_by(resource.c.revision, resource.c.name))
        return [_to_resource(row) for row in rows.mappings()]


class ServedRequestStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, principal: str, method: str, request_id: str) -> ServedRequest | None:
        query = select(served_request).where(
            served_request.c.principal == principal,
            served_request.c.method == method,
            served_request.c.request_id == request_id,
        )
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else ServedRequest(**row)

    async def put(self, row: ServedRequest, forget_before: datetime) -> None:
        """Keeps `row` and forgets those older than `forget_before`."""
        await self._connection.execute(delete(served_request).where(served_request.c.create_time < forget_before))
        values = {column.name: getattr(row, column.name) for column in served_request.c}
        await self._connection.execute(insert(served_request).values(**values))


def _live() -> Any:
    return select(resource).where(resource.c.current, ~resource.c.deleted)


def _to_resource(row: RowMapping) -> StoredResource:
    fields = {name: row[name] for name in StoredResource.__slots__}
    return StoredResource(**{**fields, "refs": tuple(row["refs"])})


def _to_head(row: RowMapping) -> Head:
    return Head(epoch=str(row["epoch"]), revision=row["revision"])
