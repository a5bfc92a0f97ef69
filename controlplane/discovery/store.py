"""Rows of the fleet."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.discovery.rows import FleetRow
from controlplane.discovery.tables import data_plane


class FleetStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, rows: Sequence[FleetRow]) -> None:
        """Keeps each row unless a later connection of the same node is known."""
        for row in rows:
            values = {column.name: getattr(row, column.name) for column in data_plane.c}
            values["rejections"] = list(row.rejections)
            statement = insert(data_plane).values(values)
            await self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[data_plane.c.node],
                    set_=values,
                    where=data_plane.c.connect_time <= statement.excluded.connect_time,
                )
            )

    async def forget_before(self, time: datetime) -> None:
        await self._connection.execute(delete(data_plane).where(data_plane.c.last_seen_time < time))

    async def list_after(self, node: str, since: datetime, limit: int) -> list[FleetRow]:
        """In order of node: those seen after `since`."""
        query = select(data_plane).where(data_plane.c.node > node, data_plane.c.last_seen_time >= since)
        rows = await self._connection.execute(query.order_by(data_plane.c.node).limit(limit))
        return [FleetRow(**row) for row in rows.mappings()]
