"""Delivers alerts: each at least once, under an id by which receivers know repeats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.errors import Unavailable
from controlplane.quota.alerts.posting import Answer, Post
from controlplane.quota.alerts.repository import AlertRepository
from controlplane.quota.alerts.rows import Alert, AlertState, Delivery, Receiver
from controlplane.quota.alerts.schedule import next_attempt
from controlplane.quota.alerts.signature import UnusableSecret, signing_key, webhook_headers
from tollway.resources.secret_refs import SecretUnavailable, is_own_variable, read_secret

IDLE_S = 1.0
MOST_AT_ONCE = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CourierParts:
    """What a courier works with.

    find_receiver: where alerts of a budget, by name and uid, go now; None when they go nowhere. Raises Unavailable.
    environ: what `env:` references of signing secrets read.
    now: gives aware UTC times.
    jitter_percent: lengthens pauses, 0 to 20.
    observe: told the state that each try led to.
    """

    repository: AlertRepository
    find_receiver: Callable[[Alert], Awaitable[Receiver | None]]
    post: Post
    environ: Mapping[str, str]
    now: Callable[[], datetime]
    jitter_percent: Callable[[], int]
    observe: Callable[[AlertState], None] = lambda _: None


class AlertCourier:
    """`run` is a task for the life of the process; any number of processes may do this at once."""

    def __init__(self, parts: CourierParts) -> None:
        self._parts = parts
        self._due = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Says that there are alerts to deliver."""
        self._due.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._due.clear()
                if not await self._start(tasks):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(IDLE_S):
                            await self._due.wait()

    async def deliver(self, alert: Alert) -> Delivery:
        """One try of a claimed alert. Raises Unavailable, after which it is tried again once its claim ends."""
        receiver = await self._parts.find_receiver(alert)
        if receiver is None:
            delivery = replace(
                alert.delivery,
                state=AlertState.FAILED,
                reason=f"{alert.budget} was deleted or has no webhook_url any more",
                next_attempt_time=None,
            )
        else:
            delivery = self._judge(alert, receiver, await self._post(alert, receiver))
        await self._parts.repository.finish(alert.alert_id, delivery)
        self._parts.observe(delivery.state)
        return delivery

    async def _start(self, tasks: asyncio.TaskGroup) -> bool:
        """Claims what there is room for; whether there was any."""
        try:
            alerts = await self._parts.repository.claim(self._parts.now(), MOST_AT_ONCE - len(self._running))
        except Unavailable as error:
            _log.debug("alerts wait for the database reason=%s", error.message)
            return False
        for alert in alerts:
            task = tasks.create_task(self._deliver_claimed(alert), name=f"alert {alert.alert_id}")
            self._running.add(task)
            task.add_done_callback(self._end)
        return bool(alerts)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake()

    async def _deliver_claimed(self, alert: Alert) -> None:
        try:
            delivery = await self.deliver(alert)
        except Unavailable as error:
            _log.warning("alert not settled: it will be repeated id=%s reason=%s", alert.alert_id, error.message)
            return
        told = (alert.budget, alert.threshold_percent, alert.alert_id, delivery.attempts)
        if delivery.state is AlertState.DELIVERED:
            _log.info("alert delivered budget=%s threshold_percent=%d id=%s attempts=%d", *told)
        else:
            word, reason = delivery.state.word, delivery.reason
            _log.warning("alert %s budget=%s threshold_percent=%d id=%s attempts=%d reason=%s", word, *told, reason)

    async def _post(self, alert: Alert, receiver: Receiver) -> Answer:
        """Without its secret an alert does not go out: it would not be what the receiver was told to expect."""
        try:
            key = await asyncio.to_thread(_read_key, receiver.secret_ref, self._parts.environ)
        except (SecretUnavailable, UnusableSecret) as error:
            return Answer(False, f"webhook_secret_ref: {error}")
        sent_s = int(self._parts.now().timestamp())
        return await self._parts.post(
            receiver.url, webhook_headers(str(alert.alert_id), sent_s, alert.body, key), alert.body
        )

    def _judge(self, alert: Alert, receiver: Receiver, answer: Answer) -> Delivery:
        now, claimed = self._parts.now(), replace(alert.delivery, receiver_digest=receiver.digest)
        tried = replace(claimed, last_attempt_time=now, reason=answer.reason, next_attempt_time=None)
        if answer.is_taken:
            return replace(tried, state=AlertState.DELIVERED, deliver_time=now)
        following = next_attempt(
            tried.give_up_time,
            now,
            tried.attempts,
            retry_after_s=answer.retry_after_s,
            jitter_percent=self._parts.jitter_percent(),
        )
        state = AlertState.FAILED if following is None else AlertState.FAILING
        return replace(tried, state=state, next_attempt_time=following)


def _read_key(ref: str, environ: Mapping[str, str]) -> bytes | None:
    """The signing key; None when nothing is to be signed. Raises SecretUnavailable and UnusableSecret."""
    if not ref:
        return None
    if is_own_variable(ref):
        raise SecretUnavailable("variables that begin with TOLLWAY_ are Tollway's own; use another one")
    return signing_key(read_secret(ref, environ))
