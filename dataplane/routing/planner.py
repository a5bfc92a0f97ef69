"""Pure: the plan of one call, out of the snapshot that it pins."""

from collections.abc import Callable, Sequence
from itertools import cycle, groupby, islice
from operator import attrgetter

from dataplane.call import Call, Deadlines, Plan, Principal
from dataplane.errors import ModelNotAllowed, ModelNotFound, NoTargetAvailable
from dataplane.snapshot import Route, RouteTimeouts, Snapshot, Strategy, Target

DIRECT_ATTEMPTS = 3
_DEFAULT_DEADLINES = Deadlines()
_PRIORITY = attrgetter("priority")


def plan(call: Call, principal: Principal, random: Callable[[], float]) -> Plan:
    """The ordered attempts of `call`; `random` gives floats in [0, 1).

    The model is a route's, else UPSTREAM/MODEL. Raises ModelNotFound, ModelNotAllowed when `principal` may not use
    it, and NoTargetAvailable when its route has nothing to try.
    """
    route = call.snapshot.routes.get(call.model)
    if route is not None:
        _check_allowed(call.model, principal)
        targets = _route_attempts(route, random)
        return Plan(route.name, targets, _deadlines(route.timeouts, call.timeout_s))
    target = _direct_target(call.snapshot, call.model)
    if target is None:
        raise ModelNotFound(
            f"The model '{call.model}' does not exist. GET /v1/models lists the models that this key may use.",
            param="model",
        )
    _check_allowed(call.model, principal)
    return Plan("", (target,) * DIRECT_ATTEMPTS, _bounded(_DEFAULT_DEADLINES, call.timeout_s))


def _check_allowed(model: str, principal: Principal) -> None:
    if not principal.key.allows(model):
        raise ModelNotAllowed(
            f"The key {principal.key.name} may not use the model '{model}'. "
            "GET /v1/models lists the models that it may use; an admin can extend its allowed_models.",
            param="model",
        )


def _direct_target(snapshot: Snapshot, model: str) -> Target | None:
    """The target that UPSTREAM/MODEL addresses; None without such an upstream, or when it does not admit MODEL."""
    upstream_id, _, upstream_model = model.partition("/")
    upstream = snapshot.upstreams.get(upstream_id)
    if upstream is None or not upstream_model or not upstream.admits(upstream_model):
        return None
    return Target(upstream, upstream_model)


def _route_attempts(route: Route, random: Callable[[], float]) -> tuple[Target, ...]:
    """Each target once in order of preference, then again from the first, up to `max_attempts`."""
    order = _ordered(route, random)
    if not order:
        raise NoTargetAvailable(
            f"The route of the model '{route.model}' has no target to send calls to: every weight is 0. "
            "An admin must give at least one of its targets a weight.",
            param="model",
        )
    if not route.fallback:
        order = order[:1]
    return tuple(islice(cycle(order), route.max_attempts))


def _ordered(route: Route, random: Callable[[], float]) -> list[Target]:
    """All targets, the first of which has a weight; empty when none has."""
    if len(route.targets) == 1:
        return [target for target in route.targets if target.weight > 0]
    if route.strategy is Strategy.PRIORITY:
        order = list(route.targets)
    else:
        order = [t for _, group in groupby(route.targets, _PRIORITY) for t in _weighted_order([*group], random)]
    if order[0].weight > 0:
        return order
    first = next((position for position, target in enumerate(order) if target.weight > 0), None)
    return [] if first is None else [order.pop(first), *order]


def _weighted_order(targets: Sequence[Target], random: Callable[[], float]) -> list[Target]:
    """Drawn one after the other, each with its share of the weight that is left; those without weight come last."""
    left = [target for target in targets if target.weight > 0]
    weight = sum([target.weight for target in left])
    drawn = []
    while len(left) > 1:
        target = left.pop(_pick(left, random() * weight))
        weight -= target.weight
        drawn.append(target)
    drawn += left
    return drawn if len(drawn) == len(targets) else [*drawn, *(target for target in targets if target.weight <= 0)]


def _pick(targets: Sequence[Target], point: float) -> int:
    """Position of the target whose share contains `point`, from 0 to below the weight of all."""
    for position, target in enumerate(targets):
        point -= target.weight
        if point < 0:
            return position
    return len(targets) - 1


def _deadlines(timeouts: RouteTimeouts, timeout_s: float | None) -> Deadlines:
    deadlines = _DEFAULT_DEADLINES
    if timeouts != _NO_TIMEOUTS:
        deadlines = Deadlines(
            total_s=timeouts.total_s or deadlines.total_s,
            first_byte_s=timeouts.first_byte_s or deadlines.first_byte_s,
            idle_s=timeouts.idle_s or deadlines.idle_s,
        )
    return _bounded(deadlines, timeout_s)


def _bounded(deadlines: Deadlines, timeout_s: float | None) -> Deadlines:
    """`deadlines` with the whole call bounded by the client's own timeout too; the lower one holds."""
    if timeout_s is None or timeout_s >= deadlines.total_s:
        return deadlines
    return Deadlines(timeout_s, deadlines.first_byte_s, deadlines.idle_s)


_NO_TIMEOUTS = RouteTimeouts()
