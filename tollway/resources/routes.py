"""What a route must satisfy on its own."""

from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration

from tollway.admin.v1.routes_pb2 import Route, Target
from tollway.kernel.names import is_resource_id
from tollway.resources.common_fields import validate_common, validate_model
from tollway.resources.violations import Violation

MAX_TARGETS = 64
MAX_WEIGHT = 1_000_000
MAX_ATTEMPTS = 10
MAX_TIMEOUT_S = 86_400


def validate_route(route: Route) -> Iterator[Violation]:
    yield from validate_common(route)
    yield from validate_model("model", route.model)
    if not route.targets:
        yield Violation("targets", "needs at least one target: {upstream, model}")
    if len(route.targets) > MAX_TARGETS:
        yield Violation("targets", f"has {len(route.targets)} entries; at most {MAX_TARGETS} are allowed")
    for index, target in enumerate(route.targets):
        yield from _validate_target(f"targets[{index}]", target)
    if route.targets and all(target.weight == 0 for target in route.targets):
        yield Violation("targets", "all weights are 0, so that none would get traffic; give at least one a weight")
    if not 1 <= route.retry.max_attempts <= MAX_ATTEMPTS:
        yield Violation("retry.max_attempts", f"must be from 1 (no retries) to {MAX_ATTEMPTS}")
    for name in ("total", "first_byte", "idle"):
        if route.timeouts.HasField(name):
            yield from _validate_timeout(f"timeouts.{name}", getattr(route.timeouts, name))


def _validate_target(path: str, target: Target) -> Iterator[Violation]:
    collection, _, upstream_id = target.upstream.rpartition("/")
    if not target.upstream:
        yield Violation(f"{path}.upstream", "is required: an upstream's id or full name")
    elif collection != "upstreams" or not is_resource_id(upstream_id):
        yield Violation(f"{path}.upstream", f'"{target.upstream}" is not an upstream; write `a` or `upstreams/a`')
    yield from validate_model(f"{path}.model", target.model)
    if not 0 <= target.weight <= MAX_WEIGHT:
        yield Violation(f"{path}.weight", f"must be from 0 to {MAX_WEIGHT}")
    if target.priority < 0:
        yield Violation(f"{path}.priority", "must be 0 or more; lower numbers come first")


def _validate_timeout(path: str, timeout: Duration) -> Iterator[Violation]:
    if not 1 <= timeout.ToMilliseconds() <= MAX_TIMEOUT_S * 1000:
        yield Violation(path, f'must be positive, at least "0.001s" and at most "{MAX_TIMEOUT_S}s"')
