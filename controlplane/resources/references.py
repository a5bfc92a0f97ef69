"""What resources refer to: names, and models that routes or upstreams must serve; and what may not go therefore."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.resources.kinds import ResourceKind, model_claim
from controlplane.resources.rows import MAX_SHOWN_REFERRERS, StoredResource
from tollway.admin.v1.routes_pb2 import Route
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.kernel.globs import compile_globs
from tollway.kernel.names import bare_id
from tollway.resources.kinds import UPSTREAM, VIRTUAL_KEY, Reference
from tollway.resources.matches import ANY_TEAM, of_any_team
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation


async def known_names(unit: UnitOfWork, names: Collection[str]) -> frozenset[str]:
    """Those of `names` that exist; of a key of any team, that some team has one."""
    found = frozenset(await unit.resources.find_all(names))
    wanted = {bare_id(name) for name in names if name.startswith(f"{ANY_TEAM}/")}
    keys = await unit.resources.keys_called(wanted) if wanted else []
    return found | {of_any_team(name) for name in keys}


async def model_violations(
    unit: UnitOfWork, named: Sequence[Reference], pending: Iterable[AdminResource] = ()
) -> list[Violation]:
    """Which of the models `named` nothing serves once `pending` is stored."""
    if not named:
        return []
    pending = list(pending)
    models = {model for _, model in named}
    owners = await unit.resources.claimants([model_claim(model) for model in models])
    changing = {resource.name for resource in pending}
    served = {claim for claim, owner in owners.items() if owner not in changing}
    served |= {model_claim(resource.model) for resource in pending if isinstance(resource, Route)}
    upstreams = await _upstream_models(unit, models, pending)
    return [
        Violation(field, f'"{model}" is a model that nothing serves: {_model_hint(model, upstreams)}')
        for field, model in named
        if model_claim(model) not in served and not _is_direct(model, upstreams)
    ]


async def departure_violations(
    unit: UnitOfWork,
    kind: ResourceKind,
    desired: AdminResource,
    before: StoredResource | None,
    changing: Collection[str],
) -> list[Violation]:
    """What `before` has for itself alone, `desired` gives up, and other resources than those in `changing` name."""
    claim = kind.claim(desired)
    if claim is None or before is None or before.claim in (None, claim.key):
        return []
    referrers = [name for name in await unit.resources.referrers([before.claim]) if name not in changing]
    if not referrers:
        return []
    old = before.claim.partition(":")[2]
    return [Violation(claim.field, f'"{old}" is named by {shown_names(referrers)}; change them first')]


async def referrers_of(unit: UnitOfWork, row: StoredResource) -> list[str]:
    """What refers to a resource, by its name or by what it alone serves."""
    names = [row.name] if row.claim is None else [row.name, row.claim]
    if row.kind == VIRTUAL_KEY.name and len(await unit.resources.keys_called({bare_id(row.name)})) == 1:
        names.append(of_any_team(row.name))
    return await unit.resources.referrers(names)


def shown_names(names: Iterable[str]) -> str:
    """The first few of `names`, for messages."""
    listed = list(names)
    shown = ", ".join(listed[:MAX_SHOWN_REFERRERS])
    return f"{shown} and others" if len(listed) > MAX_SHOWN_REFERRERS else shown


async def _upstream_models(
    unit: UnitOfWork, models: Iterable[str], pending: Iterable[AdminResource]
) -> Mapping[str, Sequence[str]]:
    """The models that may be addressed at each upstream that `models` begin with; empty for all."""
    names = {UPSTREAM.resource_name(upstream) for upstream in _addressed(models)}
    stored = {name: list(row.spec.get("models", ())) for name, row in (await unit.resources.find_all(names)).items()}
    own = {resource.name: list(resource.models) for resource in pending if isinstance(resource, Upstream)}
    return {bare_id(name): admitted for name, admitted in {**stored, **own}.items()}


def _addressed(models: Iterable[str]) -> Iterator[str]:
    return (model.partition("/")[0] for model in models if "/" in model)


def _is_direct(model: str, upstreams: Mapping[str, Sequence[str]]) -> bool:
    upstream, _, name = model.partition("/")
    if upstream not in upstreams or not name:
        return False
    admitted = compile_globs(upstreams[upstream])
    return admitted is None or admitted.fullmatch(name) is not None


def _model_hint(model: str, upstreams: Mapping[str, Sequence[str]]) -> str:
    upstream = model.partition("/")[0]
    if upstream in upstreams:
        return f"upstream {upstream} does not admit it; add it to the models of that upstream, or correct the name"
    return "write a route's model or UPSTREAM/MODEL, or, for models to come, a pattern with *"
