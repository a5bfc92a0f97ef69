"""A control plane's rooms on a real database, called as the transports call them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from controlplane.admin import ConfigRooms, ConfigSecrets, open_config_rooms
from controlplane.authz import AdminPrincipal
from controlplane.db.engine import Database
from controlplane.migrations import upgrade
from tollway.admin.v1.manifests_pb2 import Manifest, ManifestMetadata

ENCRYPTION_KEY = "e" * 40
PEPPER = "p" * 40
PLANE_TOKEN = "plane-token-for-tests"
PACKAGE = "tollway.admin.v1"

Answer = TypeVar("Answer", bound=Message)


class Admin:
    """Calls handlers by short method name."""

    def __init__(self, rooms: ConfigRooms, principal: str = "tester") -> None:
        self.rooms = rooms
        self._principal = principal

    async def call(self, method: str, request: Message, answer_type: type[Answer]) -> Answer:
        full_method = f"{PACKAGE}.{method}"
        answer = await self.rooms.handlers[full_method](AdminPrincipal(self._principal, full_method), request)
        assert isinstance(answer, answer_type)
        return answer


@asynccontextmanager
async def open_admin(
    url: str,
    *,
    environ: Mapping[str, str] | None = None,
    encryption_key: str = ENCRYPTION_KEY,
    pepper: str = PEPPER,
    notify: bool = True,
) -> AsyncIterator[Admin]:
    """Rooms on a database that is migrated already."""
    database = Database(url)
    secrets = ConfigSecrets(encryption_key, pepper, PLANE_TOKEN, {} if environ is None else environ)
    try:
        yield Admin(open_config_rooms(database, secrets, notify=notify))
    finally:
        await database.close()


async def migrate(url: str) -> None:
    await upgrade(url)


def manifest(kind: str, name: str, spec: dict[str, Any] | None = None, team: str = "") -> Manifest:
    fields = Struct()
    fields.update(spec or {})
    return Manifest(api_version="tollway/v1", kind=kind, metadata=ManifestMetadata(name=name, team=team), spec=fields)
