"""Manifests of rules, read, in normal form and judged."""

from typing import Any, TypeVar

from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.resources.manifests import read_manifest

Rule = TypeVar("Rule", RateLimit, Budget)

RPM: dict[str, Any] = {"limits": [{"unit": "requests", "amount": 60, "window": "60s"}]}
MONTHLY: dict[str, Any] = {"amount_usd": "250.00"}


def read_rate_limit(**spec: Any) -> tuple[RateLimit, dict[str, str]]:
    """A rate limit of 60 requests a minute but for `spec`, and what is wrong with it by field."""
    return _read("RateLimit", RPM | spec, RateLimit)


def read_budget(**spec: Any) -> tuple[Budget, dict[str, str]]:
    """A budget of 250 USD a month but for `spec`, and what is wrong with it by field."""
    return _read("Budget", MONTHLY | spec, Budget)


def _read(kind: str, spec: dict[str, Any], message: type[Rule]) -> tuple[Rule, dict[str, str]]:
    document = {"apiVersion": "tollway/v1", "kind": kind, "metadata": {"name": "r"}, "spec": spec}
    found, violations = read_manifest(document, "m")
    assert found is not None
    assert isinstance(found.resource, message)
    return found.resource, {v.field.removeprefix("m.spec."): v.description for v in violations}
