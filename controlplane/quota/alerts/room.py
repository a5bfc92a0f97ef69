"""Alerts of budgets: noticed, delivered, shown."""

import asyncio
import random
from collections.abc import Callable, Mapping

from controlplane.authz import Handler
from controlplane.db.unit_of_work import ConfigStore
from controlplane.quota.alerts.api import alert_handlers
from controlplane.quota.alerts.budgets import AlertedBudgets
from controlplane.quota.alerts.courier import AlertCourier, CourierParts
from controlplane.quota.alerts.posting import Post
from controlplane.quota.alerts.repository import AlertRepository
from controlplane.quota.alerts.rows import AlertState
from controlplane.quota.alerts.schedule import MOST_JITTER_PERCENT
from controlplane.quota.alerts.watch import AlertWatch, WatchParts
from controlplane.quota.alerts.watching.repository import AlertLooks


class AlertRoom:
    """`run` is a task for the life of the process, `handlers` are those of BudgetAlertService.

    `environ` is what `env:` references of signing secrets read; `observe` is told the state that each try led to.
    """

    def __init__(
        self, config: ConfigStore, environ: Mapping[str, str], post: Post, observe: Callable[[AlertState], None]
    ) -> None:
        repository, budgets = AlertRepository(config.database), AlertedBudgets(config)
        courier = CourierParts(
            repository=repository,
            find_receiver=budgets.find_receiver,
            post=post,
            environ=environ,
            now=config.now,
            jitter_percent=lambda: random.SystemRandom().randint(0, MOST_JITTER_PERCENT),
            observe=observe,
        )
        self._courier = AlertCourier(courier)
        watch = WatchParts(AlertLooks(config.database), repository, budgets.load, self._courier.wake, config.now)
        self._watch = AlertWatch(watch)
        self.handlers: dict[str, Handler] = alert_handlers(repository, self._courier.wake, config.now)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run(), name="alert watch")
            tasks.create_task(self._courier.run(), name="alert courier")
