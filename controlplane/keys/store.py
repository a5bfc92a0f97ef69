"""Digests by key, and whose a digest is."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.keys.tables import key_digest


@dataclass(frozen=True, slots=True)
class StoredDigest:
    """One digest of the key `key_name`, valid before `expire_time`, or for ever."""

    digest: bytes
    key_name: str
    create_time: datetime
    expire_time: datetime | None = None


class DigestStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_of(self, key_names: Collection[str] | None) -> list[StoredDigest]:
        """Digests of some keys, or of all when None, the newest of a key first."""
        query = select(key_digest).order_by(key_digest.c.key_name, key_digest.c.create_time.desc())
        if key_names is not None:
            query = query.where(key_digest.c.key_name.in_(key_names))
        rows = await self._connection.execute(query)
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
