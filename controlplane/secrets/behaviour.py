"""An upstream's credential: taken out of the message, sealed, and shown only as a fingerprint."""

import uuid
from datetime import datetime

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.resources.behaviour import PendingChange, Settlement
from controlplane.secrets.rows import SealedSecret
from controlplane.secrets.vault import Place, Vault
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.resources.messages import AdminResource

CREDENTIAL_FIELD = "credential"


class UpstreamBehaviour:
    """Of upstreams: a value is stored encrypted; what a manifest does not say about a stored value is kept."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def prepare(self, change: PendingChange) -> None:
        desired, current = _upstream(change.desired), change.current
        stored = current.secret.fingerprint if isinstance(current, Upstream) else ""
        if not desired.HasField("secret"):
            if change.from_manifest and stored:
                desired.secret.fingerprint = stored
            return
        keeps = not desired.secret.value and not desired.secret.ref
        desired.secret.fingerprint = stored if keeps else ""

    async def settle(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        desired = _upstream(change.desired)
        value = desired.secret.value
        if not value:
            return self._without_value(unit, desired)
        stored = change.current.secret.fingerprint if isinstance(change.current, Upstream) else ""
        desired.secret.value = ""
        desired.secret.fingerprint = self._vault.fingerprint(value, change.row.uid)
        if desired.secret.fingerprint == stored:
            return Settlement()
        name, uid = desired.name, change.row.uid

        async def store() -> None:
            earlier = await unit.secrets.find(name, CREDENTIAL_FIELD)
            version = 1 if earlier is None else earlier.version + 1
            sealed = self._vault.seal(value.encode(), credential_place(name, uid, version))
            await unit.secrets.put(SealedSecret(name, CREDENTIAL_FIELD, uid, version, sealed))

        return Settlement(store=store)

    def _without_value(self, unit: UnitOfWork, desired: Upstream) -> Settlement:
        name = desired.name
        if desired.secret.fingerprint:
            return Settlement()

        async def store() -> None:
            await unit.secrets.delete_of(name)

        return Settlement(store=store)

    async def forget(self, unit: UnitOfWork, name: str) -> None:
        await unit.secrets.delete_of(name)

    def present(self, message: AdminResource, now: datetime) -> None:
        return None


def credential_place(name: str, uid: uuid.UUID, version: int) -> Place:
    """Where an upstream's credential belongs: this incarnation of this upstream, at this version."""
    return Place("secret", f"{name}@{uid}", CREDENTIAL_FIELD, version)


def open_credential(vault: Vault, row: SealedSecret) -> str:
    """The value of a stored credential. Raises SecretUnreadable."""
    place = credential_place(row.resource_name, row.resource_uid, row.version)
    return vault.open(row.sealed, place).decode()


def _upstream(resource: AdminResource) -> Upstream:
    assert isinstance(resource, Upstream)
    return resource
