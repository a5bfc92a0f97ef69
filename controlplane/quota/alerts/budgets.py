"""Which budgets tell somebody, as the configuration has them."""

import logging
from collections.abc import Iterable
from typing import cast

from google.protobuf.json_format import ParseError

from controlplane.db.unit_of_work import ConfigStore, ReadView
from controlplane.quota.alerts.rows import Alert, AlertedBudget, Receiver
from controlplane.resources.convert import resource_to_message
from controlplane.resources.rows import StoredResource
from tollway.admin.v1.budgets_pb2 import Budget
from tollway.config.v1 import resources_pb2 as pb
from tollway.resources.budgets import project_budget
from tollway.resources.kinds import BUDGET

_PAGE = 500
_log = logging.getLogger(__name__)


class AlertedBudgets:
    """Reads budgets that have a receiver, and keeps them until the configuration changes."""

    def __init__(self, config: ConfigStore) -> None:
        self._config = config
        self._revision = -1
        self._by_name: dict[str, AlertedBudget] = {}

    async def load(self) -> list[AlertedBudget]:
        """As they are now, in order of name. Raises Unavailable."""
        async with self._config.read() as view:
            if view.head.revision != self._revision:
                self._by_name = {budget.name: budget for budget in alerted(await _stored_budgets(view))}
                self._revision = view.head.revision
        return list(self._by_name.values())

    async def find_receiver(self, alert: Alert) -> Receiver | None:
        """Where alerts of its budget go now; None when that is deleted or has no receiver. Raises Unavailable."""
        await self.load()
        budget = self._by_name.get(alert.budget)
        return budget.receiver if budget is not None and budget.uid == alert.budget_uid else None


def alerted(rows: Iterable[StoredResource]) -> Iterable[AlertedBudget]:
    """Those of `rows`, budgets that are not deleted, which have a receiver."""
    for row in rows:
        try:
            message = cast(Budget, resource_to_message(BUDGET, row))
        except ParseError as error:
            _log.warning("a budget of another release tells nobody budget=%s reason=%s", row.name, error)
            continue
        if not message.alerts.webhook_url:
            continue
        machine = project_budget(message, row.revision).budget
        yield AlertedBudget(
            name=row.name,
            uid=row.uid,
            generation=machine.generation,
            amount_nano_usd=machine.amount_nano_usd,
            per=tuple(machine.per),
            period=machine.period,
            time_zone=machine.time_zone,
            is_enforced=machine.mode == pb.ENFORCEMENT_MODE_ENFORCE,
            thresholds_percent=tuple(message.alerts.thresholds_percent),
            receiver=Receiver(message.alerts.webhook_url, message.alerts.webhook_secret_ref),
        )


async def _stored_budgets(view: ReadView) -> list[StoredResource]:
    found: list[StoredResource] = []
    while True:
        after = found[-1].name if found else ""
        page = await view.resources.list_page(BUDGET.name, f"{BUDGET.collection}/", after, _PAGE)
        found += page
        if len(page) < _PAGE:
            return found
