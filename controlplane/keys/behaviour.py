"""A virtual key's secret: made or read by reference, kept only as a digest, and when it may be used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.errors import InvalidArgument
from controlplane.keys.digests import lasting_digest, rotated_digests
from controlplane.keys.rows import StoredDigest
from controlplane.resources.behaviour import PendingChange, Settlement
from tollway.admin.v1.keys_pb2 import KEY_STATE_ACTIVE, KEY_STATE_EXPIRED, KEY_STATE_REVOKED, VirtualKey
from tollway.kernel.keys import is_virtual_key, key_digest, make_virtual_key, shown_prefix
from tollway.resources.messages import AdminResource
from tollway.resources.secret_refs import SecretUnavailable, read_secret
from tollway.resources.violations import Violation

DEFAULT_OVERLAP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class KeyMint:
    """Makes secrets and digests. `pepper` is what digests are keyed with, `environ` what `env:` references read."""

    pepper: bytes = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    random_below: Callable[[int], int]

    def make(self) -> str:
        return make_virtual_key(self.random_below)

    def read(self, ref: str) -> str:
        """The key behind a reference. Raises SecretUnavailable when it is not a virtual key."""
        secret = read_secret(ref, self.environ)
        if not is_virtual_key(secret):
            raise SecretUnavailable(
                f"what {ref} holds is not a virtual key: `twk_`, 40 characters and their checksum; "
                "take one that Tollway made"
            )
        return secret

    def digest(self, secret: str) -> bytes:
        return key_digest(self.pepper, secret)


class VirtualKeyBehaviour:
    """Of virtual keys. A manifest that is applied again reads its reference again; another secret there rotates."""

    def __init__(self, mint: KeyMint) -> None:
        self._mint = mint

    def prepare(self, change: PendingChange) -> None:
        desired, current = as_key(change.desired), change.current
        desired.prefix, desired.state = "", 0  # type: ignore[assignment]
        if not isinstance(current, VirtualKey):
            return
        desired.prefix, desired.state = current.prefix, current.state
        if change.from_manifest and not desired.HasField("secret") and current.HasField("secret"):
            desired.secret.CopyFrom(current.secret)

    async def settle(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        desired = as_key(change.desired)
        if change.current is None:
            return await self._settle_new(unit, change)
        if desired.secret == as_key(change.current).secret and not change.from_manifest:
            return Settlement()
        if not change.from_manifest:
            text = "cannot be changed; rotate the key instead, or apply a manifest"
            return Settlement([Violation("secret", text)])
        if not desired.secret.ref:
            return Settlement()
        return await self._settle_reference(unit, desired)

    async def _settle_new(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        desired = as_key(change.desired)
        if desired.secret.ref:
            return await self._settle_reference(unit, desired)
        if change.validate_only:
            return Settlement()
        secret = self._mint.make()
        return self._issue(self._rotation(unit, desired, secret, (), DEFAULT_OVERLAP), secret)

    async def _settle_reference(self, unit: UnitOfWork, desired: VirtualKey) -> Settlement:
        try:
            secret, digests = await self._read_reference(unit, desired)
        except SecretUnavailable as error:
            return Settlement([Violation("secret.ref", str(error))])
        digest = self._mint.digest(secret)
        if lasting_digest(digests) == digest:
            return Settlement(secret_digest=digest)
        return self._rotation(unit, desired, secret, digests, DEFAULT_OVERLAP)

    async def rotate(self, unit: UnitOfWork, key: VirtualKey, overlap: timedelta) -> Settlement:
        """A new secret for `key`: what its reference holds now, or a made one, which is then issued."""
        if not key.secret.ref:
            secret, digests = self._mint.make(), await unit.digests.list_of([key.name])
            return self._issue(self._rotation(unit, key, secret, digests, overlap), secret)
        try:
            secret, digests = await self._read_reference(unit, key)
        except SecretUnavailable as error:
            return Settlement([Violation("name", f"{key.name} cannot be rotated: {error}")])
        if lasting_digest(digests) == self._mint.digest(secret):
            text = f"{key.secret.ref} still holds the same secret; change it first, then rotate"
            return Settlement([Violation("name", text)])
        return self._rotation(unit, key, secret, digests, overlap)

    async def _read_reference(self, unit: UnitOfWork, key: VirtualKey) -> tuple[str, list[StoredDigest]]:
        """The secret that the reference holds, and the digests that the key has."""
        secret = self._mint.read(key.secret.ref)
        if await unit.digests.owner(self._mint.digest(secret)) not in (None, key.name):
            raise SecretUnavailable(f"{key.secret.ref} holds the secret of another key; each key needs its own")
        return secret, await unit.digests.list_of([key.name])

    def _rotation(
        self, unit: UnitOfWork, key: VirtualKey, secret: str, digests: Sequence[StoredDigest], overlap: timedelta
    ) -> Settlement:
        name, digest = key.name, self._mint.digest(secret)
        key.prefix = shown_prefix(secret)

        async def store() -> None:
            if await unit.digests.owner(digest) not in (None, name):
                raise InvalidArgument([Violation("secret.ref", f"{name}: the secret is that of another key")])
            await unit.digests.replace(name, rotated_digests(digests, digest, name, unit.now, overlap))

        return Settlement(store=store, changed=True, secret_digest=digest)

    def _issue(self, settlement: Settlement, secret: str) -> Settlement:
        settlement.issued_secret = secret
        return settlement

    async def forget(self, unit: UnitOfWork, name: str) -> None:
        await unit.digests.delete_of(name)

    def present(self, message: AdminResource, now: datetime) -> None:
        key = as_key(message)
        if key.state == KEY_STATE_REVOKED:
            return
        expired = key.HasField("expire_time") and key.expire_time.ToMicroseconds() <= int(now.timestamp() * 1_000_000)
        key.state = KEY_STATE_EXPIRED if expired else KEY_STATE_ACTIVE


def as_key(resource: AdminResource) -> VirtualKey:
    assert isinstance(resource, VirtualKey)
    return resource
