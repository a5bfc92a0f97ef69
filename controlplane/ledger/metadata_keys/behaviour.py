"""A declared metadata key: sums are kept by it from the next quarter hour on, until it is deleted."""

from datetime import datetime

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.resources.behaviour import PendingChange, Settlement
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation

MAX_METADATA_KEYS = 8
"""At a time: each multiplies the groups that sums are kept for."""


class MetadataKeyBehaviour:
    """Of metadata keys: `since` is the ledger's to say, and `key` stays what it was."""

    def prepare(self, change: PendingChange) -> None:
        desired, current = _metadata_key(change.desired), change.current
        desired.ClearField("since")
        if isinstance(current, MetadataKey):
            desired.since.CopyFrom(current.since)

    async def settle(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        desired, current = _metadata_key(change.desired), change.current
        if isinstance(current, MetadataKey):
            return Settlement(violations=list(_renamed(desired, current)))
        store = unit.metadata_keys
        store.claimed.add(desired.key)
        if len(await store.list_declared() | store.claimed) > MAX_METADATA_KEYS:
            text = f"{MAX_METADATA_KEYS} metadata keys are declared already; delete one that no report needs"
            return Settlement(violations=[Violation("key", text)])
        since = await store.next_boundary(unit.now)
        desired.since.FromDatetime(since)
        key = desired.key

        async def declare() -> None:
            await store.declare(key, since)

        return Settlement(store=declare)

    async def forget(self, unit: UnitOfWork, name: str) -> None:
        row = await unit.resources.find(name)
        if row is not None:
            await unit.metadata_keys.end(str(row.spec["key"]), await unit.metadata_keys.next_boundary(unit.now))

    def present(self, message: AdminResource, now: datetime) -> None:
        return None


def _renamed(desired: MetadataKey, current: MetadataKey) -> list[Violation]:
    if desired.key == current.key:
        return []
    return [
        Violation("key", f'is "{current.key}" and cannot be changed; declare the other one as a MetadataKey of its own')
    ]


def _metadata_key(resource: AdminResource) -> MetadataKey:
    assert isinstance(resource, MetadataKey)
    return resource
