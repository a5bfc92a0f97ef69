"""Where kinds differ beyond their messages: what is secret about them, and what is computed when they are read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.resources.rows import StoredResource
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation


@dataclass(slots=True)
class PendingChange:
    """A resource about to be stored: `desired` is in normal form and may still be changed, `current` is what it was.

    `from_manifest` says that what a manifest cannot say must be kept.
    """

    desired: AdminResource
    current: AdminResource | None
    row: StoredResource
    from_manifest: bool
    validate_only: bool


async def _store_nothing() -> None:
    return None


@dataclass(slots=True)
class Settlement:
    """What a behaviour found and will do: `store` writes what lies outside the resource's row.

    `changed` makes a new revision even when the message is the same; `issued_secret` is shown to the caller once.
    `secret_digest` is that of a secret which was given by reference and which no other resource may have.
    """

    violations: list[Violation] = field(default_factory=list)
    store: Callable[[], Awaitable[None]] = _store_nothing
    changed: bool = False
    issued_secret: str = field(default="", repr=False)
    secret_digest: bytes = field(default=b"", repr=False)


class Behaviour(Protocol):
    def prepare(self, change: PendingChange) -> None:
        """Completes `change.desired` from `change.current` before it is validated."""

    async def settle(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        """Takes secrets out of `change.desired`, which is valid."""

    async def forget(self, unit: UnitOfWork, name: str) -> None:
        """Deletes what lies outside the row of a deleted resource."""

    def present(self, message: AdminResource, now: datetime) -> None:
        """Fills in what is computed when a resource is read."""


class PlainBehaviour:
    """Of kinds that are nothing but their message."""

    def prepare(self, change: PendingChange) -> None:
        return None

    async def settle(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        return Settlement()

    async def forget(self, unit: UnitOfWork, name: str) -> None:
        return None

    def present(self, message: AdminResource, now: datetime) -> None:
        return None
