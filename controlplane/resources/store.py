"""Rows of resources and of answered requests; keeps what it is given."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Text, any_, delete, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.resources.rows import REFERRERS_READ, Head, ServedRequest, StoredResource
from controlplane.resources.tables import config_head, resource, served_request
from tollway.resources.kinds import VIRTUAL_KEY

_KEY_ID_PART = 4


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
        query = _live().where(_is_any_of(resource.c.name, names))
        rows = await self._connection.execute(query)
        return {row["name"]: _to_resource(row) for row in rows.mappings()}

    async def list_page(self, kind: str, prefix: str, after: str, limit: int) -> list[StoredResource]:
        """Resources of a kind whose names begin with `prefix`, a collection with its "/", in order, after `after`."""
        query = _live().where(resource.c.kind == kind, resource.c.name > max(prefix, after)).limit(limit)
        if prefix:
            query = query.where(resource.c.name < prefix[:-1] + "0")
        rows = await self._connection.execute(query.order_by(resource.c.name))
        return [_to_resource(row) for row in rows.mappings()]

    async def list_as_of(self, kind: str, revision: int) -> list[StoredResource]:
        """Resources of a kind as they were at `revision`, in order of name, without those that were deleted by then."""
        newest = (
            select(resource)
            .where(resource.c.kind == kind, resource.c.revision <= revision)
            .ext(distinct_on(resource.c.name))
            .order_by(resource.c.name, resource.c.revision.desc())
        )
        rows = await self._connection.execute(newest)
        return [_to_resource(row) for row in rows.mappings() if not row["deleted"]]

    async def keys_called(self, ids: Collection[str]) -> list[str]:
        """Names of virtual keys, of whatever team, whose last part is one of `ids`."""
        query = select(resource.c.name).where(
            resource.c.current, ~resource.c.deleted, resource.c.kind == VIRTUAL_KEY.name
        )
        called = _is_any_of(func.split_part(resource.c.name, "/", _KEY_ID_PART), ids)
        return list((await self._connection.scalars(query.where(called))).all())

    async def referrers(self, names: Collection[str]) -> list[str]:
        """Names of resources that refer to any of `names`, in order; the first REFERRERS_READ of them."""
        query = (
            select(resource.c.name)
            .where(resource.c.current, ~resource.c.deleted, resource.c.refs.overlap(list(names)))
            .order_by(resource.c.name)
            .limit(REFERRERS_READ)
        )
        return list((await self._connection.scalars(query)).all())

    async def claimants(self, claims: Collection[str]) -> dict[str, str]:
        """Who has which of `claims`: names by claim."""
        query = select(resource.c.claim, resource.c.name).where(
            resource.c.current, ~resource.c.deleted, _is_any_of(resource.c.claim, claims)
        )
        return {claim: name for claim, name in await self._connection.execute(query) if claim is not None}

    async def put_all(self, rows: Sequence[StoredResource]) -> None:
        """Makes each of `rows` the current revision of its name; no name occurs twice."""
        names = [row.name for row in rows]
        await self._connection.execute(
            update(resource).where(_is_any_of(resource.c.name, names), resource.c.current).values(current=False)
        )
        await self._connection.execute(insert(resource), [_to_columns(row) for row in rows])

    async def changed_after(self, revision: int, name: str, limit: int) -> list[StoredResource]:
        """The current form of what changed, tombstones included, in order of revision and name.

        Begins after `name` at `revision`: "" takes all of that revision, LAST_NAME none of it.
        """
        query = select(resource).where(
            resource.c.current, tuple_(resource.c.revision, resource.c.name) > tuple_(literal(revision), literal(name))
        )
        rows = await self._connection.execute(query.order_by(resource.c.revision, resource.c.name).limit(limit))
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


def _is_any_of(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    """One parameter for any number of values: the protocol allows 32,767 parameters at most."""
    return column == any_(literal(list(values), ARRAY(Text)))


def _to_columns(row: StoredResource) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in StoredResource.__slots__}
    return {**columns, "refs": list(row.refs), "current": True}


def _to_resource(row: RowMapping) -> StoredResource:
    fields = {name: row[name] for name in StoredResource.__slots__}
    return StoredResource(**{**fields, "refs": tuple(row["refs"])})


def _to_head(row: RowMapping) -> Head:
    return Head(epoch=str(row["epoch"]), revision=row["revision"])
