"""Digests by key, and whose a digest is."""

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.keys.rows import StoredDigest
from controlplane.keys.tables import key_digest


class DigestStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_of(self, key_names: Collection[str]) -> list[StoredDigest]:
        """Digests of some keys, the newest of a key first."""
        if not key_names:
            return []
        query = select(key_digest).where(key_digest.c.key_name.in_(key_names))
        rows = await self._connection.execute(query.order_by(key_digest.c.key_name, key_digest.c.create_time.desc()))
        return [StoredDigest(**row) for row in rows.mappings()]

    async def owner(self, digest: bytes) -> str | None:
        """Name of the key that has this digest."""
        name: str | None = await self._connection.scalar(
            select(key_digest.c.key_name).where(key_digest.c.digest == digest)
        )
        return name

    async def is_empty(self) -> bool:
        return await self._connection.scalar(select(key_digest.c.key_name).limit(1)) is None

    async def replace(self, key_name: str, digests: Collection[StoredDigest]) -> None:
        """Makes `digests` all that the key has."""
        await self.delete_of(key_name)
        if digests:
            values = [
                {
                    "digest": row.digest,
                    "key_name": row.key_name,
                    "create_time": row.create_time,
                    "expire_time": row.expire_time,
                }
                for row in digests
            ]
            await self._connection.execute(insert(key_digest), values)

    async def delete_of(self, key_name: str) -> None:
        await self._connection.execute(delete(key_digest).where(key_digest.c.key_name == key_name))
