"""Couriers on a real database, with a clock of the test's own."""

import dataclasses
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from controlplane.db.engine import Database
from controlplane.quota.alerts.courier import AlertCourier, CourierParts
from controlplane.quota.alerts.making import make_alert
from controlplane.quota.alerts.repository import AlertPage, AlertRepository
from controlplane.quota.alerts.rows import Alert, AlertState, Receiver
from controlplane.quota.alerts.watching.repository import AlertLooks
from controlplane.transport.webhooks import WebhookClient
from tests.unit.controlplane.quota.alerts.specimens import USD, bucket, budget


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **span: float) -> None:
        self.time += timedelta(**span)


class Post:
    """A courier of one control plane, and where the alerts of each budget go."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.repository = AlertRepository(database)
        self.receivers: dict[str, Receiver] = {}
        self.environ: dict[str, str] = {}
        self.states: list[AlertState] = []
        self.clock = clock
        parts = CourierParts(
            self.repository,
            self._find_receiver,
            WebhookClient(timeout_s=1).post,
            self.environ,
            clock.now,
            lambda: 0,
            self.states.append,
        )
        self.courier = AlertCourier(parts)

    async def work(self, rounds: int = 50) -> None:
        """Tries what is due until nothing is."""
        for _ in range(rounds):
            alerts = await self.repository.claim(self.clock.now(), 16)
            if not alerts:
                return
            for alert in alerts:
                await self.courier.deliver(alert)
        raise AssertionError("there is always something due")

    async def only(self) -> Alert:
        [alert] = await self.repository.read_page(AlertPage(10))
        return alert

    async def _find_receiver(self, alert: Alert) -> Receiver | None:
        return self.receivers.get(alert.budget)


def alert_of(now: datetime, threshold_percent: int = 50, **fields: Any) -> Alert:
    """An alert of a bucket of its own, made now."""
    made = make_alert(budget(), bucket(95 * USD, bucket_id=uuid.uuid4()), threshold_percent, now)
    return dataclasses.replace(made, **fields)


async def keep(database: Database, alerts: Sequence[Alert]) -> None:
    async with AlertLooks(database).next_look() as look:
        assert look is not None
        await look.keep(alerts)
