"""FleetService: the data planes, whichever control plane they are connected to."""

from collections.abc import Callable
from datetime import datetime, timedelta

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import ConfigStore
from controlplane.discovery.fleet import FORGET_AFTER
from controlplane.discovery.rows import FleetRow
from controlplane.discovery.store import FleetStore
from controlplane.resources.paging import make_page_token, page_limit, read_page_token
from controlplane.resources.rows import Head
from tollway.admin.v1.fleet_pb2 import DataPlane, ListDataPlanesRequest, ListDataPlanesResponse, Rejection

# A control plane that died cannot say that its data planes are gone.
CONNECTED_FOR = timedelta(seconds=15)
_LIST = "DataPlane"


def fleet_handlers(config: ConfigStore, now: Callable[[], datetime]) -> dict[str, Handler]:
    async def list_data_planes(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, ListDataPlanesRequest)
        limit, after = page_limit(request.page_size), read_page_token(_LIST, request.page_token)
        async with config.read() as view:
            head = view.head
        async with config.database.transaction() as connection:
            rows = await FleetStore(connection).list_after(after, now() - FORGET_AFTER, limit + 1)
        more = len(rows) > limit
        return ListDataPlanesResponse(
            data_planes=[_to_data_plane(row, head, now()) for row in rows[:limit]],
            next_page_token=make_page_token(_LIST, rows[limit - 1].node) if more else "",
            head_revision=head.revision,
        )

    return {"tollway.admin.v1.FleetService/ListDataPlanes": list_data_planes}


def _to_data_plane(row: FleetRow, head: Head, now: datetime) -> DataPlane:
    current = row.epoch == head.epoch
    shown = DataPlane(
        name=f"dataplanes/{row.node}",
        boot_id=row.boot_id,
        build=row.build,
        connected=row.connected and row.last_seen_time > now - CONNECTED_FOR,
        revision=row.revision,
        lag=max(0, head.revision - row.revision) if current else head.revision,
        rejections=[Rejection(name=r["name"], revision=r["revision"], reason=r["reason"]) for r in row.rejections],
    )
    shown.connect_time.FromDatetime(row.connect_time)
    shown.last_seen_time.FromDatetime(row.last_seen_time)
    return shown
