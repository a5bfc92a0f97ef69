"""Admin methods of all kinds, derived from their service descriptors, and of manifests."""

from collections.abc import Mapping
from typing import Any, cast

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.resources.apply import ManifestApplier
from controlplane.resources.kinds import ResourceKind
from controlplane.resources.service import ResourceService
from controlplane.resources.transaction import Transactor
from controlplane.resources.writer import Caller, Written
from tollway.admin.v1 import (
    budgets_pb2,
    keys_pb2,
    manifests_pb2,
    metadata_keys_pb2,
    prices_pb2,
    rate_limits_pb2,
    routes_pb2,
    teams_pb2,
    upstreams_pb2,
)
from tollway.admin.v1.keys_pb2 import IssuedVirtualKey, VirtualKey
from tollway.resources.kinds import VIRTUAL_KEY

_FILES = (
    teams_pb2,
    keys_pb2,
    upstreams_pb2,
    routes_pb2,
    prices_pb2,
    metadata_keys_pb2,
    rate_limits_pb2,
    budgets_pb2,
    manifests_pb2,
)
_APPLY = "tollway.admin.v1.ManifestService/ApplyManifests"


def resource_handlers(
    config: ConfigStore, transactor: Transactor, kinds: Mapping[str, ResourceKind]
) -> dict[str, Handler]:
    """Handlers of the standard methods of every kind, and of ApplyManifests."""
    services = {name: s for file in _FILES for name, s in file.DESCRIPTOR.services_by_name.items()}
    handlers: dict[str, Handler] = {}
    for kind in kinds.values():
        descriptor = cast(ServiceDescriptor, services[f"{kind.name}Service"])
        handlers |= _KindHandlers(kind, descriptor, ResourceService(kind, config), transactor).by_method()
    handlers[_APPLY] = _apply_handler(ManifestApplier(kinds), transactor)
    return handlers


def issued_key(written: Written) -> IssuedVirtualKey:
    """A key as the methods that make secrets return it."""
    assert isinstance(written.resource, VirtualKey)
    issued = IssuedVirtualKey(secret=written.issued_secret)
    for field, value in written.resource.ListFields():
        if field.name in ("secret",):
            continue
        target = getattr(issued, field.name)
        if isinstance(value, Message):
            target.CopyFrom(value)
        elif field.is_repeated:
            target.MergeFrom(value)
        else:
            setattr(issued, field.name, value)
    return issued


def _apply_handler(applier: ManifestApplier, transactor: Transactor) -> Handler:
    async def apply_manifests(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, manifests_pb2.ApplyManifestsRequest)

        async def respond(unit: UnitOfWork, caller: Caller) -> manifests_pb2.ApplyManifestsResponse:
            return await applier.apply(unit, caller, request)

        return await transactor.run(principal, request, manifests_pb2.ApplyManifestsResponse, respond)

    return apply_manifests


class _KindHandlers:
    """The five standard methods of one kind; requests differ only in the names of fields, which the kind tells."""

    def __init__(
        self, kind: ResourceKind, descriptor: ServiceDescriptor, service: ResourceService, transactor: Transactor
    ) -> None:
        self._kind = kind.kind
        self._descriptor = descriptor
        self._service = service
        self._transactor = transactor
        self._list_method = f"List{kind.name}s"

    def by_method(self) -> dict[str, Handler]:
        name = self._kind.name
        methods: dict[str, Handler] = {
            f"Create{name}": self._create,
            f"Get{name}": self._get,
            self._list_method: self._list,
            f"Update{name}": self._update,
            f"Delete{name}": self._delete,
        }
        return {f"{self._descriptor.full_name}/{method}": handler for method, handler in methods.items()}

    async def _create(self, principal: AdminPrincipal, message: Message) -> Message:
        request = cast(Any, message)
        issues = self._kind is VIRTUAL_KEY

        async def respond(unit: UnitOfWork, caller: Caller) -> Message:
            resource_id, parent = getattr(request, self._kind.id_parameter), getattr(request, "parent", "")
            given = getattr(request, self._kind.field)
            written = await self._service.create(unit, caller, resource_id, parent, given)
            return issued_key(written) if issues else written.resource

        answer_type = IssuedVirtualKey if issues else cast("type[Message]", self._kind.message)
        return await self._transactor.run(principal, request, answer_type, respond)

    async def _get(self, principal: AdminPrincipal, message: Message) -> Message:
        return await self._service.get(cast(Any, message).name)

    async def _list(self, principal: AdminPrincipal, message: Message) -> Message:
        request = cast(Any, message)
        page = await self._service.list_page(getattr(request, "parent", ""), request.page_size, request.page_token)
        answer = GetMessageClass(self._descriptor.methods_by_name[self._list_method].output_type)()
        getattr(answer, self._kind.list_field).extend(page.resources)
        answer.next_page_token = page.next_page_token  # type: ignore[attr-defined]
        return answer

    async def _update(self, principal: AdminPrincipal, message: Message) -> Message:
        request = cast(Any, message)

        async def respond(unit: UnitOfWork, caller: Caller) -> Message:
            given, paths = getattr(request, self._kind.field), list(request.update_mask.paths)
            written = await self._service.update(unit, caller, given, paths, allow_missing=request.allow_missing)
            return written.resource

        return await self._transactor.run(principal, request, cast("type[Message]", self._kind.message), respond)

    async def _delete(self, principal: AdminPrincipal, message: Message) -> Message:
        request = cast(Any, message)

        async def respond(unit: UnitOfWork, caller: Caller) -> Empty:
            await self._service.delete(unit, caller, request.name, request.etag, allow_missing=request.allow_missing)
            return Empty()

        return await self._transactor.run(principal, request, Empty, respond)
