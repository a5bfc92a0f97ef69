"""A call as an admin describes it: whose it would be, and which upstreams it may go to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from controlplane.db.unit_of_work import ReadView
from controlplane.errors import InvalidArgument, NotFound
from controlplane.resources.convert import resource_to_message
from controlplane.resources.kinds import model_claim
from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.limits_pb2 import CheckLimitsRequest
from tollway.admin.v1.routes_pb2 import Route
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.kernel.names import bare_id, full_name
from tollway.kernel.rules import Subject
from tollway.resources.kinds import ROUTE, UPSTREAM, VIRTUAL_KEY
from tollway.resources.validate import MAX_METADATA, MAX_VALUE
from tollway.resources.violations import Violation


class PossibleTarget(NamedTuple):
    """Where a call may go: the bare id of an upstream, its provider, and the model that would be sent."""

    upstream: str
    provider: str
    model: str


async def described_call(view: ReadView, request: CheckLimitsRequest) -> tuple[Subject, Sequence[PossibleTarget]]:
    """The call, without an upstream, and where it may go.

    Raises NotFound for the key, InvalidArgument for a model that nothing serves and for what no call can carry.
    """
    violations = list(_violations(request))
    if violations:
        raise InvalidArgument(violations)
    key = await _key(view, request.key)
    metadata = {**request.metadata, **key.metadata}
    team = key.name.rpartition("/keys/")[0]
    call = Subject(team, key.owner or team, key.name, request.model, request.end_user, metadata)
    return call, [
        PossibleTarget(upstream, await _provider(view, upstream), model)
        for upstream, model in await _places(view, request)
    ]


def _violations(request: CheckLimitsRequest) -> Iterator[Violation]:
    if not VIRTUAL_KEY.is_name(request.key):
        yield Violation("key", f'"{request.key}" is not of the form {VIRTUAL_KEY.pattern()}')
    if not request.model:
        yield Violation("model", "is required: what the client would say as model")
    yield from _metadata_violations(request.metadata)
    if len(request.end_user) > MAX_VALUE:
        yield Violation("end_user", f"must have at most {MAX_VALUE} characters, as x-tollway-user")


def _metadata_violations(metadata: Mapping[str, str]) -> Iterator[Violation]:
    if len(metadata) > MAX_METADATA:
        yield Violation("metadata", f"must have at most {MAX_METADATA} pairs, as x-tollway-metadata")
    for name, value in sorted(metadata.items()):
        if max(len(name), len(value)) > MAX_VALUE:
            yield Violation(f"metadata.{name}", f"must have texts of at most {MAX_VALUE} characters")


async def _key(view: ReadView, name: str) -> VirtualKey:
    row = await view.resources.find(name)
    if row is None:
        raise NotFound(f"VirtualKey {name} does not exist", resource=name)
    message = resource_to_message(VIRTUAL_KEY, row)
    assert isinstance(message, VirtualKey)
    return message


async def _provider(view: ReadView, upstream: str) -> str:
    row = await view.resources.find(UPSTREAM.resource_name(upstream))
    message = None if row is None else resource_to_message(UPSTREAM, row)
    return message.provider if isinstance(message, Upstream) else ""


async def _places(view: ReadView, request: CheckLimitsRequest) -> Sequence[tuple[str, str]]:
    """Pairs of an upstream's bare id and a model."""
    route = (await view.resources.claimants([model_claim(request.model)])).get(model_claim(request.model))
    if route is not None:
        possible = await _targets(view, route)
    else:
        direct, _, model = request.model.partition("/")
        exists = "/" in request.model and await view.resources.find(UPSTREAM.resource_name(direct)) is not None
        possible = [(direct, model)] if exists else []
    if not possible:
        text = f'"{request.model}" is a model that nothing serves; write a route\'s model or UPSTREAM/MODEL'
        raise InvalidArgument([Violation("model", text)])
    if not request.upstream:
        return possible
    chosen = bare_id(full_name(UPSTREAM.collection, request.upstream))
    places = [place for place in possible if place[0] == chosen]
    if not places:
        names = ", ".join(dict.fromkeys(upstream for upstream, _ in possible))
        text = f'"{request.upstream}" is none that the model may go to: {names}'
        raise InvalidArgument([Violation("upstream", text)])
    return places


async def _targets(view: ReadView, name: str) -> Sequence[tuple[str, str]]:
    row = await view.resources.find(name)
    assert row is not None
    route = resource_to_message(ROUTE, row)
    assert isinstance(route, Route)
    return list(dict.fromkeys((bare_id(target.upstream), target.model) for target in route.targets))
