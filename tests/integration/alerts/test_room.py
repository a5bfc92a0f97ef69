"""From a budget that an admin makes to its receiver, and what admins see of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask

from controlplane.authz import AdminPrincipal
from controlplane.errors import InvalidArgument, NotFound
from controlplane.quota.alerts.budgets import AlertedBudgets
from controlplane.quota.alerts.room import AlertRoom
from controlplane.quota.alerts.rows import AlertState
from controlplane.quota.alerts.signature import sign
from controlplane.transport.webhooks import WebhookClient
from tests.integration.alerts.buckets import Watched
from tests.integration.alerts.courier import Clock
from tests.integration.alerts.receiver import WebhookReceiver
from tests.integration.controlplane.admin import Admin, open_admin
from tests.unit.controlplane.quota.alerts.specimens import USD
from tollway.admin.v1.budget_alerts_pb2 import (
    BUDGET_ALERT_STATE_DELIVERED,
    BUDGET_ALERT_STATE_FAILED,
    BUDGET_ALERT_STATE_FAILING,
    BudgetAlert,
    GetBudgetAlertRequest,
    ListBudgetAlertsRequest,
    ListBudgetAlertsResponse,
    RetryBudgetAlertRequest,
)
from tollway.admin.v1.budgets_pb2 import (
    Budget,
    BudgetAlerts,
    CreateBudgetRequest,
    DeleteBudgetRequest,
    UpdateBudgetRequest,
)

_SERVICE = "tollway.admin.v1.BudgetAlertService"


class Plane:
    """The rooms of a control plane, with its alerts running."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self.config = admin.rooms.config
        self.states: list[AlertState] = []
        self.environ: dict[str, str] = {}
        self.room = AlertRoom(self.config, self.environ, WebhookClient(timeout_s=1).post, self.states.append)

    async def create(self, name: str, amount_usd: str, alerts: BudgetAlerts) -> Budget:
        budget = Budget(amount_usd=amount_usd, per=["team"], alerts=alerts)
        request = CreateBudgetRequest(budget_id=name, budget=budget)
        return await self.admin.call("BudgetService/CreateBudget", request, Budget)

    async def spend(self, name: str, nano_usd: int, team: str = "teams/growth") -> None:
        [found] = [budget for budget in await AlertedBudgets(self.config).load() if budget.name == name]
        await Watched(self.config.database, Clock()).spend(nano_usd, rule=found, values=(team,))

    async def alerts(self, **fields: object) -> list[BudgetAlert]:
        answer = await self.call("ListBudgetAlerts", ListBudgetAlertsRequest(**fields))  # type: ignore[arg-type]
        assert isinstance(answer, ListBudgetAlertsResponse)
        return list(answer.budget_alerts)

    async def get(self, name: str) -> BudgetAlert:
        answer = await self.call("GetBudgetAlert", GetBudgetAlertRequest(name=name))
        assert isinstance(answer, BudgetAlert)
        return answer

    async def retry(self, name: str) -> None:
        await self.call("RetryBudgetAlert", RetryBudgetAlertRequest(name=name))

    async def wait_until(self, state: int, count: int = 1) -> list[BudgetAlert]:
        """The alerts, once `count` of them are in `state`."""
        async with asyncio.timeout(20):
            while True:
                alerts = await self.alerts()
                if sum(alert.state == state for alert in alerts) == count:
                    return alerts
                await asyncio.sleep(0.05)

    async def call(self, method: str, request: object) -> object:
        full_method = f"{_SERVICE}/{method}"
        return await self.room.handlers[full_method](AdminPrincipal("tester", full_method), request)  # type: ignore[arg-type]


@asynccontextmanager
async def running(room: AlertRoom) -> AsyncIterator[None]:
    task = asyncio.create_task(room.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest_asyncio.fixture
async def plane(alerts_url: str) -> AsyncIterator[Plane]:
    async with open_admin(alerts_url) as admin:
        opened = Plane(admin)
        async with running(opened.room):
            yield opened


async def test_a_budget_that_is_spent_tells_its_receiver(plane: Plane, receiver: WebhookReceiver) -> None:
    plane.environ["HOOK_SECRET"] = "grey heron"
    await plane.create("growth", "100", BudgetAlerts(webhook_url=receiver.url, webhook_secret_ref="env:HOOK_SECRET"))
    await plane.spend("budgets/growth", 80 * USD)
    received = await receiver.wait_for(lambda found: len(found) == 2)
    assert [each.json["alert"]["threshold_percent"] for each in received] == [50, 75]
    assert received[1].json["text"].startswith("Budget growth (team growth) has reached 75%: 80.00 of 100.00 USD")
    for each in received:
        headers = each.headers
        expected = sign(b"grey heron", headers["webhook-id"], int(headers["webhook-timestamp"]), each.body)
        assert headers["webhook-signature"] == expected
    alerts = await plane.wait_until(BUDGET_ALERT_STATE_DELIVERED, 2)
    shown = next(alert for alert in alerts if alert.threshold_percent == 75)
    assert shown.name == f"budgetAlerts/{received[1].headers['webhook-id']}"
    assert (shown.budget, dict(shown.group)) == ("budgets/growth", {"team": "teams/growth"})
    assert (shown.amount_usd, shown.spent_usd, shown.attempts, shown.reason) == ("100.00", "80.00", 1, "")
    assert shown.HasField("deliver_time")
    assert not shown.HasField("next_attempt_time")
    assert await plane.get(shown.name) == shown


async def test_admins_see_what_fails_and_have_it_sent_again(plane: Plane, receiver: WebhookReceiver) -> None:
    receiver.answers = [(503, {"retry-after": "3600"}), (200, {})]
    await plane.create("growth", "100", BudgetAlerts(webhook_url=receiver.url))
    await plane.spend("budgets/growth", 50 * USD)
    [failing] = await plane.wait_until(BUDGET_ALERT_STATE_FAILING)
    assert (failing.reason, failing.attempts) == ("answered 503", 1)
    assert failing.HasField("next_attempt_time")
    await plane.retry(failing.name)
    [delivered] = await plane.wait_until(BUDGET_ALERT_STATE_DELIVERED)
    assert (delivered.attempts, delivered.reason) == (2, "")
    assert plane.states == [AlertState.FAILING, AlertState.DELIVERED]


async def test_a_corrected_url_is_used_at_once(plane: Plane, receiver: WebhookReceiver) -> None:
    receiver.answers = [(404, {"retry-after": "3600"}), (200, {})]
    await plane.create("growth", "100", BudgetAlerts(webhook_url=receiver.url + "/wrong"))
    await plane.spend("budgets/growth", 50 * USD)
    await plane.wait_until(BUDGET_ALERT_STATE_FAILING)
    changed = Budget(name="budgets/growth", alerts=BudgetAlerts(webhook_url=receiver.url))
    mask = FieldMask(paths=["alerts.webhook_url"])
    await plane.admin.call("BudgetService/UpdateBudget", UpdateBudgetRequest(budget=changed, update_mask=mask), Budget)
    await plane.wait_until(BUDGET_ALERT_STATE_DELIVERED)
    assert [each.path for each in receiver.received] == ["/hook/wrong", "/hook"]


async def test_a_deleted_budget_tells_nobody(plane: Plane, receiver: WebhookReceiver) -> None:
    receiver.answers = [(503, {"retry-after": "3600"})]
    await plane.create("growth", "100", BudgetAlerts(webhook_url=receiver.url))
    await plane.spend("budgets/growth", 50 * USD)
    [failing] = await plane.wait_until(BUDGET_ALERT_STATE_FAILING)
    await plane.admin.rooms.handlers["tollway.admin.v1.BudgetService/DeleteBudget"](
        AdminPrincipal("tester", "tollway.admin.v1.BudgetService/DeleteBudget"),
        DeleteBudgetRequest(name="budgets/growth"),
    )
    await plane.retry(failing.name)
    [failed] = await plane.wait_until(BUDGET_ALERT_STATE_FAILED)
    assert failed.reason == "budgets/growth was deleted or has no webhook_url any more"
    assert len(receiver.received) == 1


async def test_two_control_planes_tell_once(alerts_url: str, receiver: WebhookReceiver) -> None:
    async with open_admin(alerts_url) as first, open_admin(alerts_url) as second:
        planes = [Plane(first), Plane(second)]
        async with running(planes[0].room), running(planes[1].room):
            await planes[0].create("growth", "100", BudgetAlerts(webhook_url=receiver.url))
            for number in range(10):
                await planes[0].spend("budgets/growth", 100 * USD, f"teams/t{number}")
            await planes[0].wait_until(BUDGET_ALERT_STATE_DELIVERED, 40)
    ids = [each.headers["webhook-id"] for each in receiver.received]
    assert len(ids) == len(set(ids)) == 40


async def test_lists_are_filtered_and_paged(plane: Plane, receiver: WebhookReceiver) -> None:
    await plane.create("growth", "100", BudgetAlerts(webhook_url=receiver.url))
    await plane.create("ads", "100", BudgetAlerts(webhook_url=receiver.url, thresholds_percent=[10, 20, 30]))
    await plane.spend("budgets/growth", 50 * USD)
    await plane.spend("budgets/ads", 50 * USD)
    await plane.wait_until(BUDGET_ALERT_STATE_DELIVERED, 4)
    assert len(await plane.alerts(filter='budget = "ads"')) == 3
    assert len(await plane.alerts(filter='budget = "budgets/growth" AND state = "delivered"')) == 1
    assert await plane.alerts(filter='state = "failed"') == []
    token, found = "", list[int]()
    while True:
        request = ListBudgetAlertsRequest(page_size=3, page_token=token, filter='budget = "ads"')
        page = await plane.call("ListBudgetAlerts", request)
        assert isinstance(page, ListBudgetAlertsResponse)
        found += [alert.threshold_percent for alert in page.budget_alerts]
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == [10, 20, 30]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"filter": "receiver = x"}, "fields are budget, state"),
        ({"filter": "state = late"}, "choose from pending, failing, delivered, failed"),
        ({"page_size": -1}, "must not be negative"),
        ({"page_token": "x"}, "is not a token of this query"),
    ],
)
async def test_lists_say_what_is_wrong(plane: Plane, fields: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        await plane.alerts(**fields)


async def test_an_unknown_alert_is_not_found(plane: Plane) -> None:
    name = f"budgetAlerts/{uuid.uuid4()}"
    with pytest.raises(NotFound, match=name):
        await plane.get(name)
    with pytest.raises(NotFound, match=name):
        await plane.retry(name)
    with pytest.raises(InvalidArgument, match="as the list shows it"):
        await plane.get("budgetAlerts/7")
