"""The admin methods of virtual keys that go beyond the standard ones."""

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import UnitOfWork
from controlplane.keys.service import KeyService
from controlplane.resources.handlers import issued_key
from controlplane.resources.transaction import Transactor
from controlplane.resources.writer import Caller
from tollway.admin.v1.keys_pb2 import IssuedVirtualKey, RevokeVirtualKeyRequest, RotateVirtualKeyRequest, VirtualKey

_SERVICE = "tollway.admin.v1.VirtualKeyService"


def key_handlers(service: KeyService, transactor: Transactor) -> dict[str, Handler]:
    async def rotate(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, RotateVirtualKeyRequest)

        async def respond(unit: UnitOfWork, caller: Caller) -> IssuedVirtualKey:
            return issued_key(await service.rotate(unit, caller, request))

        return await transactor.run(principal, request, IssuedVirtualKey, respond)

    async def revoke(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, RevokeVirtualKeyRequest)

        async def respond(unit: UnitOfWork, caller: Caller) -> VirtualKey:
            written = await service.revoke(unit, caller, request)
            assert isinstance(written.resource, VirtualKey)
            return written.resource

        return await transactor.run(principal, request, VirtualKey, respond)

    return {f"{_SERVICE}/RotateVirtualKey": rotate, f"{_SERVICE}/RevokeVirtualKey": revoke}
