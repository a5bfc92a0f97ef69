"""What calls are made of: the simulated provider's models, and routes over some that fail."""

from typing import Any

from tests.chaos.load import Kind

_TARGETS: dict[str, tuple[str, ...]] = {
    "chaos-flaky": ("flaky-40", "echo"),
    "chaos-limited": ("limited-40", "lorem-12"),
    "chaos-cut": ("cutoff-4", "lorem-9"),
    "chaos-garbled": ("malformed-0", "echo"),
    "chaos-silent": ("flaky-30", "nousage-15"),
}

GOOD = (
    Kind(6, "sim/echo"),
    Kind(6, "sim/lorem-{n}"),
    Kind(2, "sim/slow-150"),
    Kind(4, "sim/stream-100", stream=True, leaving=0.2),
    Kind(1, "sim/drip-400"),
    Kind(2, "sim/nousage-{n}"),
    Kind(1, "sim/embed", stream=False),
    Kind(1, "sim/linger-100", stream=True, leaving=0.5),
)
"""Calls that end well unless the gateway fails."""

ROUTED_WELL = (
    Kind(4, "chaos-flaky"),
    Kind(2, "chaos-limited"),
    Kind(2, "chaos-garbled", stream=False),
    Kind(1, "chaos-silent"),
)
"""Through routes whose second target answers."""

ROUTED_BADLY = (Kind(3, "chaos-cut"), Kind(1, "sim/malformed-3"), Kind(1, "sim/flaky-50"))
"""Some of these fail for the client, whatever the gateway does."""

UNBROKEN = (*GOOD, *ROUTED_WELL)
MIXED = (*UNBROKEN, *ROUTED_BADLY)


def direct(upstream: str) -> tuple[Kind, ...]:
    """Calls that need no routes, of the simulated provider that is an upstream of that name."""
    kinds = (*GOOD, Kind(1, "sim/malformed-3"), Kind(1, "sim/flaky-50"), Kind(1, "sim/cutoff-4", stream=True))
    return tuple(Kind(k.weight, f"{upstream}{k.model.removeprefix('sim')}", k.stream, k.leaving) for k in kinds)


def route_manifests() -> list[dict[str, Any]]:
    """The routes, over an upstream `sim`."""
    return [
        {
            "kind": "Route",
            "metadata": {"name": name},
            "spec": {
                "model": name,
                "strategy": "priority",
                "targets": [{"upstream": "sim", "model": model, "priority": n} for n, model in enumerate(targets)],
            },
        }
        for name, targets in _TARGETS.items()
    ]
