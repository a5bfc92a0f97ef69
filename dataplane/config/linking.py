"""Pure: upstreams with their secrets, and routes with their upstreams, into the indexes of a compiled state."""

from collections.abc import Mapping
from dataclasses import replace

from dataplane.config.change import Change
from dataplane.config.forms import compile_route, compile_upstream
from dataplane.config.state import CompiledState, Rejected, RouteForms
from dataplane.snapshot import Route, Secret, Upstream
from tollway.config.v1.resources_pb2 import Resource

_SECRET_SUFFIX = "/secret"  # noqa: S105


def apply_upstream_secrets(state: CompiledState, change: Change) -> CompiledState:
    forms = change.of_kind("upstream_secret")
    gone = {name.removesuffix(_SECRET_SUFFIX) for name in change.removals if name.endswith(_SECRET_SUFFIX)}
    gone &= state.upstream_secrets.keys()
    if not forms and not gone:
        return state
    secrets = {upstream: secret for upstream, secret in state.upstream_secrets.items() if upstream not in gone}
    for name, form in forms.items():
        secrets[name.removesuffix(_SECRET_SUFFIX)] = Secret(form.upstream_secret.value)
    return replace(state, upstream_secrets=secrets)


def apply_upstreams(state: CompiledState, change: Change, rejected: dict[str, Rejected]) -> CompiledState:
    """`state` has its new secrets already; upstreams that come out equal stay the objects that they were."""
    said = change.of_kind("upstream")
    gone = change.removals & state.upstreams.keys()
    secrets = {name.removesuffix(_SECRET_SUFFIX) for name in (*change.of_kind("upstream_secret"), *change.removals)}
    if not said and not gone and not change.ref_secrets and secrets.isdisjoint(state.upstreams):
        return state
    forms = {name: form for name, form in state.upstreams.items() if name not in gone} | dict(said)
    in_force = {name: upstream for name, upstream in state.upstreams_in_force.items() if name in forms}
    for name, form in forms.items():
        if name not in said and name not in secrets and form.upstream.secret_ref not in change.ref_secrets:
            continue
        try:
            upstream = compile_upstream(form, state.upstream_secrets, state.ref_secrets)
        except ValueError as error:
            rejected[name] = Rejected(form, str(error))
            continue
        if upstream != in_force.get(name):
            in_force[name] = upstream
    if in_force == state.upstreams_in_force:
        return replace(state, upstreams=forms)
    index = {upstream.id: upstream for _, upstream in sorted(in_force.items())}
    return replace(
        state, upstreams=forms, upstreams_in_force=in_force, snapshot=replace(state.snapshot, upstreams=index)
    )


def apply_routes(
    state: CompiledState, change: Change, upstreams_before: Mapping[str, Upstream], rejected: dict[str, Rejected]
) -> CompiledState:
    """`state` has its new upstreams already. Of two routes for one model the one that is in force stays so."""
    said = change.of_kind("route")
    gone = change.removals & state.routes.keys()
    moved = _moved(upstreams_before, state.upstreams_in_force)
    if not said and not gone and not moved:
        return state
    forms = {name: route for name, route in state.routes.items() if name not in gone}
    for name, form in said.items():
        forms[name] = RouteForms(form, forms[name].good if name in forms else None)
    dirty = said.keys() | {name for name, route in forms.items() if _names_any(route, moved)}
    in_force = {name: route for name, route in state.routes_in_force.items() if name in forms and name not in dirty}
    owners = {route.model: name for name, route in in_force.items()}
    for name in sorted(dirty, key=lambda name: (not _keeps_model(state, forms[name], name), name)):
        route = _link(name, forms, state.upstreams_in_force, owners, rejected)
        if route is not None:
            in_force[name] = route
            owners[route.model] = name
    index = {route.model: route for route in sorted(in_force.values(), key=lambda route: route.model)}
    return replace(state, routes=forms, routes_in_force=in_force, snapshot=replace(state.snapshot, routes=index))


def _moved(before: Mapping[str, Upstream], after: Mapping[str, Upstream]) -> set[str]:
    """Names of upstreams that came, went or changed."""
    if before is after:
        return set()
    return {name for name in before.keys() | after.keys() if before.get(name) is not after.get(name)}


def _names_any(route: RouteForms, upstreams: set[str]) -> bool:
    forms = [route.latest] if route.good is None else [route.latest, route.good]
    return any(target.upstream in upstreams for form in forms for target in form.route.targets)


def _keeps_model(state: CompiledState, route: RouteForms, name: str) -> bool:
    before = state.routes_in_force.get(name)
    return before is not None and before.model == route.latest.route.model


def _link(
    name: str,
    forms: dict[str, RouteForms],
    upstreams: Mapping[str, Upstream],
    owners: Mapping[str, str],
    rejected: dict[str, Rejected],
) -> Route | None:
    """The route in force for `name`: its latest form's, else that of the last form that compiled, else None."""
    latest, good = forms[name].latest, forms[name].good
    try:
        route = _compile_unclaimed(latest, upstreams, owners)
    except ValueError as error:
        rejected[name] = Rejected(latest, str(error))
    else:
        forms[name] = RouteForms(latest, latest)
        return route
    if good is None:
        return None
    try:
        return _compile_unclaimed(good, upstreams, owners)
    except ValueError:
        return None


def _compile_unclaimed(form: Resource, upstreams: Mapping[str, Upstream], owners: Mapping[str, str]) -> Route:
    route = compile_route(form, upstreams)
    owner = owners.get(route.model)
    if owner is not None:
        raise ValueError(f'its model "{route.model}" is served by {owner} already')
    return route
