"""Rate limits and budgets as resources: since which revision each counts as it does."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from controlplane.db.unit_of_work import UnitOfWork
from controlplane.resources.behaviour import PendingChange, Settlement
from tollway.admin.v1.budgets_pb2 import Budget
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.resources.budgets import on_unavailable_of
from tollway.resources.messages import AdminResource


class RuleBehaviour:
    """`counts` says what a rule counts and how: while that stays the same, what was counted is counted on.

    A rule that is changed and changed back counts anew, as its former buckets missed what happened in between.
    """

    def __init__(self, counts: Callable[[Any], list[object]]) -> None:
        self._counts = counts

    def prepare(self, change: PendingChange) -> None:
        rule = _rule(change.desired)
        rule.ClearField("since_revision")
        if isinstance(rule, Budget):
            rule.ClearField("status")

    async def settle(self, unit: UnitOfWork, change: PendingChange) -> Settlement:
        rule, current = _rule(change.desired), change.current
        rule.since_revision = change.row.revision
        if isinstance(current, RateLimit | Budget) and self._counts(current) == self._counts(rule):
            rule.since_revision = current.since_revision
        return Settlement()

    async def forget(self, unit: UnitOfWork, name: str) -> None:
        """Buckets of rules that are gone are the keeper's to prune."""

    def present(self, message: AdminResource, now: datetime) -> None:
        """A default that follows the mode is shown as what it is."""
        if isinstance(message, Budget):
            message.on_unavailable = on_unavailable_of(message)


def _rule(resource: AdminResource) -> RateLimit | Budget:
    assert isinstance(resource, RateLimit | Budget)
    return resource
