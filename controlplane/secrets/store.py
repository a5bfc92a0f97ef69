"""Sealed values by resource and field; this module never sees one open."""

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.secrets.rows import SealedSecret
from controlplane.secrets.tables import key_check, secret


class SecretStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, resource_name: str, field: str) -> SealedSecret | None:
        found = await self.list_of([resource_name])
        return next((row for row in found if row.field == field), None)

    async def list_of(self, resource_names: Collection[str]) -> list[SealedSecret]:
        """The values of some resources."""
        if not resource_names:
            return []
        rows = await self._connection.execute(select(secret).where(secret.c.resource_name.in_(resource_names)))
        return [SealedSecret(**row) for row in rows.mappings()]

    async def put(self, row: SealedSecret) -> None:
        values = {
            "resource_name": row.resource_name,
            "field": row.field,
            "resource_uid": row.resource_uid,
            "version": row.version,
            "sealed": row.sealed,
        }
        statement = insert(secret).values(values)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=[secret.c.resource_name, secret.c.field], set_=values)
        )

    async def delete_of(self, resource_name: str) -> None:
        await self._connection.execute(delete(secret).where(secret.c.resource_name == resource_name))

    async def is_empty(self) -> bool:
        return await self._connection.scalar(select(secret.c.field).limit(1)) is None

    async def key_check(self, name: str) -> bytes | None:
        value: bytes | None = await self._connection.scalar(select(key_check.c.value).where(key_check.c.name == name))
        return value

    async def put_key_check(self, name: str, value: bytes) -> None:
        statement = insert(key_check).values(name=name, value=value)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=[key_check.c.name], set_={"value": value})
        )
