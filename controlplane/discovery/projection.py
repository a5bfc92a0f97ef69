"""Stored rows into machine resources; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from google.protobuf.json_format import ParseError

from controlplane.keys.rows import StoredDigest
from controlplane.prices.headers import PRICE_BOOK_KIND, header_of, project_book
from controlplane.resources.convert import resource_to_message
from controlplane.resources.rows import StoredResource
from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.keys_pb2 import KEY_STATE_REVOKED, VirtualKey
from tollway.admin.v1.metadata_keys_pb2 import MetadataKey
from tollway.admin.v1.prices_pb2 import Price
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.admin.v1.routes_pb2 import Route
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.config.v1.resources_pb2 import BookPrice, KeyDigest, Resource
from tollway.kernel.names import upstream_secret_name
from tollway.resources import project
from tollway.resources.budgets import project_budget
from tollway.resources.kinds import KINDS, UPSTREAM
from tollway.resources.rate_limits import project_rate_limit


class NotProjectable(Exception):
    """A stored row has no machine form; the message says why."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The value of an upstream's secret, or why it cannot be read."""

    value: str = field(default="", repr=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Projected:
    """What one row means for data planes; names in `removals` are gone."""

    revision: int
    upserts: Sequence[Resource] = ()
    removals: Sequence[str] = ()


def project_row(
    row: StoredResource,
    digests: Iterable[StoredDigest],
    credential: Credential | None,
    book_rows: Iterable[BookPrice] = (),
) -> Projected:
    """Raises NotProjectable for a row that this release does not understand."""
    if row.deleted:
        return Projected(row.revision, removals=machine_names(row))
    if row.kind == PRICE_BOOK_KIND:
        return _project_price_book(row, book_rows)
    kind = KINDS.get(row.kind)
    if kind is None:
        raise NotProjectable(f"kind {row.kind} is not known")
    try:
        message = resource_to_message(kind, row)
    except ParseError as error:
        raise NotProjectable(str(error)) from None
    match message:
        case Team():
            return Projected(row.revision, [project.project_team(message, row.revision)])
        case VirtualKey():
            return Projected(row.revision, [_project_key(message, row.revision, digests)])
        case Upstream():
            return _project_upstream(message, row.revision, credential)
        case Route():
            return Projected(row.revision, [project.project_route(message, row.revision)])
        case Price():
            return Projected(row.revision, [project.project_price(message, row.revision)])
        case RateLimit():
            return Projected(row.revision, [project_rate_limit(message, row.revision)])
        case Budget():
            return Projected(row.revision, [project_budget(message, row.revision)])
        case MetadataKey():
            # The ledger's alone: data planes send all metadata of a call.
            return Projected(row.revision)


def is_distributed_book(row: StoredResource) -> bool:
    """Whether data planes get the book that `row` is."""
    return row.kind == PRICE_BOOK_KIND and not row.deleted and header_of(row).distributed


def _project_price_book(row: StoredResource, book_rows: Iterable[BookPrice]) -> Projected:
    if not is_distributed_book(row):
        return Projected(row.revision, removals=[row.name])
    return Projected(row.revision, [project_book(row, book_rows)])


def machine_names(row: StoredResource) -> list[str]:
    """Names of all machine resources that a row may have led to."""
    return [row.name, upstream_secret_name(row.name)] if row.kind == UPSTREAM.name else [row.name]


def _project_key(key: VirtualKey, revision: int, digests: Iterable[StoredDigest]) -> Resource:
    machine_digests = [KeyDigest(digest=row.digest, expire_time_ms=_to_ms(row.expire_time)) for row in digests]
    revoked = key.state == KEY_STATE_REVOKED
    return project.project_virtual_key(key, revision, digests=machine_digests, revoked=revoked)


def _project_upstream(upstream: Upstream, revision: int, credential: Credential | None) -> Projected:
    own = project.project_upstream(upstream, revision)
    if credential is None:
        return Projected(revision, [own], [upstream_secret_name(upstream.name)])
    if credential.problem:
        return Projected(revision, [own])
    return Projected(revision, [own, project.project_upstream_secret(upstream.name, revision, credential.value)])


def _to_ms(time: datetime | None) -> int:
    return 0 if time is None else int(time.timestamp() * 1000)


def group_digests(digests: Iterable[StoredDigest]) -> Mapping[str, Sequence[StoredDigest]]:
    """Digests by the name of their key."""
    grouped: dict[str, list[StoredDigest]] = {}
    for row in digests:
        grouped.setdefault(row.key_name, []).append(row)
    return cast("Mapping[str, Sequence[StoredDigest]]", grouped)
