"""The standard methods of every kind: create, get, list, update, delete."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.errors import AlreadyExists, InvalidArgument, NotFound
from controlplane.resources.convert import resource_to_message
from controlplane.resources.kinds import ResourceKind
from controlplane.resources.masks import merge_update
from controlplane.resources.names import check_name, list_prefix, missing, new_name
from controlplane.resources.paging import make_page_token, page_limit, read_page_token
from controlplane.resources.rows import StoredResource
from controlplane.resources.writer import (
    Caller,
    Prepared,
    Written,
    check_etag,
    delete_resource,
    prepare_change,
    present_row,
    reference_violations,
    store_change,
)
from tollway.resources.kinds import copy_resource
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation, prefixed


@dataclass(frozen=True, slots=True)
class Page:
    resources: Sequence[AdminResource]
    next_page_token: str


class ResourceService:
    """Standard methods of one kind; changing ones run inside the caller's unit of work."""

    def __init__(self, kind: ResourceKind, config: ConfigStore) -> None:
        self.kind = kind
        self._config = config

    async def get(self, name: str) -> AdminResource:
        """Raises NotFound."""
        check_name(self.kind.kind, name)
        async with self._config.read() as view:
            row = await view.resources.find(name)
        if row is None:
            raise missing(self.kind.kind, name)
        return present_row(self.kind, row, self._config.now())

    async def list_page(self, parent: str, page_size: int, page_token: str) -> Page:
        """Resources in order of name. Raises NotFound when the parent does not exist."""
        prefix, limit = list_prefix(self.kind.kind, parent), page_limit(page_size)
        list_name = f"{self.kind.name}:{prefix}"
        after = read_page_token(list_name, page_token)
        async with self._config.read() as view:
            if prefix and await view.resources.find(parent) is None:
                raise NotFound(f"{parent} does not exist", resource=parent)
            rows = await view.resources.list_page(self.kind.name, prefix, after, limit + 1)
        shown = [present_row(self.kind, row, self._config.now()) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(shown, make_page_token(list_name, rows[limit - 1].name) if more else "")

    async def create(
        self, unit: UnitOfWork, caller: Caller, resource_id: str, parent: str, given: AdminResource
    ) -> Written:
        """Raises AlreadyExists, NotFound for the parent, InvalidArgument with every violation."""
        name = new_name(self.kind.kind, resource_id, parent)
        if parent and await unit.resources.find(parent) is None:
            raise NotFound(f"{parent} does not exist; create it first", resource=parent)
        if await unit.resources.find(name) is not None:
            raise AlreadyExists(f"{self.kind.name} {name} exists already", resource=name)
        desired = copy_resource(given)
        desired.name = name
        return await self._put(unit, caller, desired, None)

    async def update(
        self,
        unit: UnitOfWork,
        caller: Caller,
        given: AdminResource,
        paths: Sequence[str],
        *,
        allow_missing: bool = False,
    ) -> Written:
        """Raises NotFound unless `allow_missing`, Aborted on another etag, InvalidArgument with every violation."""
        check_name(self.kind.kind, given.name, f"{self.kind.kind.field}.name")
        row = await unit.resources.find(given.name)
        if row is not None:
            check_etag(given.etag, row)
            merged, violations = merge_update(resource_to_message(self.kind.kind, row), given, paths)
            raise_violations(violations)
            return await self._put(unit, caller, merged, row)
        if not allow_missing:
            raise missing(self.kind.kind, given.name)
        parent = given.name.rpartition(f"/{self.kind.kind.collection}/")[0] if self.kind.kind.parent else ""
        return await self.create(unit, caller, given.name.rpartition("/")[2], parent, given)

    async def delete(
        self, unit: UnitOfWork, caller: Caller, name: str, etag: str, *, allow_missing: bool = False
    ) -> None:
        """Raises NotFound unless `allow_missing`, Aborted on another etag, FailedPrecondition naming referrers."""
        check_name(self.kind.kind, name)
        row = await unit.resources.find(name)
        if row is None:
            if allow_missing:
                return
            raise missing(self.kind.kind, name)
        check_etag(etag, row)
        await delete_resource(unit, self.kind, row, caller)

    async def _put(
        self, unit: UnitOfWork, caller: Caller, desired: AdminResource, before: StoredResource | None
    ) -> Written:
        prepared = await prepare_change(unit, self.kind, desired, before, caller=caller)
        violations = prepared.violations + await reference_violations(unit, self.kind, desired, before)
        self._raise_for(prepared, violations)
        return await store_change(unit, prepared, caller)

    def _raise_for(self, prepared: Prepared, violations: Iterable[Violation]) -> None:
        raise_violations(prefixed(self.kind.kind.field, violations), prepared.change.desired.name)


def raise_violations(violations: Iterable[Violation], resource: str = "") -> None:
    """Raises InvalidArgument when there are any."""
    listed = list(violations)
    if listed:
        raise InvalidArgument(listed, resource=resource)
