"""Alerts as admins have them: real control planes over REST, one of which is killed while it delivers."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.quota.alerts.budgets import AlertedBudgets
from tests.fakes.admin_api import run_tollctl
from tests.integration.alerts.buckets import Watched
from tests.integration.alerts.courier import Clock
from tests.integration.alerts.receiver import WebhookReceiver, open_receiver
from tests.integration.controlplane_process.process import ADMIN_TOKEN, ControlPlaneProcess, Site, eventually
from tests.unit.controlplane.quota.alerts.specimens import USD

_END_CLAIMS = "UPDATE budget_alert SET claim_end_time = now()"


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with open_receiver() as opened:
        yield opened


async def create(plane: ControlPlaneProcess, name: str, url: str) -> None:
    body = {"amount_usd": "100", "per": ["team"], "alerts": {"webhook_url": url, "thresholds_percent": [80]}}
    status, answer = await plane.call("POST", f"/v1/budgets?budget_id={name}", body)
    assert status == 200, answer


async def spend(site: Site, nano_usd: int) -> None:
    """Makes what each budget's bucket has spent `nano_usd`."""
    database = Database(site.environ["TOLLWAY_DATABASE_URL"])
    for budget in await AlertedBudgets(ConfigStore(database)).load():
        await Watched(database, Clock()).spend(nano_usd, rule=budget)
    await database.close()


async def alerts_of(plane: ControlPlaneProcess) -> list[dict[str, Any]]:
    status, answer = await plane.call("GET", "/v1/budgetAlerts")
    assert status == 200, answer
    return list(answer.get("budget_alerts", ()))


async def wait_for_state(plane: ControlPlaneProcess, state: str) -> dict[str, Any]:
    async def is_there() -> bool:
        return any(alert["state"] == state for alert in await alerts_of(plane))

    await eventually(is_there, 30)
    [alert] = await alerts_of(plane)
    return alert


async def metrics_of(plane: ControlPlaneProcess) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{plane.metrics}/metrics") as response:
        return await response.text()


async def test_admins_see_an_alert_fail_and_send_it_again(
    site: Site, receiver: WebhookReceiver, tmp_path: Path
) -> None:
    receiver.answers = [(503, {"retry-after": "3600"}), (200, {})]
    plane = await site.start()
    await create(plane, "growth", receiver.url + "?token=canary-of-the-url")
    await spend(site, 81 * USD)
    failing = await wait_for_state(plane, "failing")
    assert (failing["threshold_percent"], failing["spent_usd"], failing["reason"]) == (80, "81.00", "answered 503")
    status, retried = await plane.call("POST", f"/v1/{failing['name']}:retry", {})
    assert (status, retried["name"]) == (200, failing["name"])
    delivered = await wait_for_state(plane, "delivered")
    assert delivered["attempts"] == 2 and "next_attempt_time" not in delivered
    environ = {"TOLLWAY_ADMIN_URL": f"http://{plane.admin}", "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}
    arguments = ("get", "budgetalerts", "--filter", 'budget = "growth" AND state = "delivered"', "-o", "json")
    shown = await asyncio.to_thread(run_tollctl, *arguments, folder=tmp_path, environ=environ)
    assert [alert["name"] for alert in json.loads(shown.stdout)["budget_alerts"]] == [failing["name"]]
    metrics = await metrics_of(plane)
    assert 'tollway_budget_alert_attempts_total{state="failing"} 1.0' in metrics
    assert 'tollway_budget_alert_attempts_total{state="delivered"} 1.0' in metrics
    assert "canary-of-the-url" not in plane.log


async def test_what_a_killed_control_plane_was_delivering_another_one_delivers(
    site: Site, receiver: WebhookReceiver
) -> None:
    receiver.answers = ["hang", (200, {})]
    first = await site.start()
    await create(first, "growth", receiver.url)
    await spend(site, 81 * USD)
    await receiver.wait_for(lambda received: len(received) == 1)
    await first.stop(signal.SIGKILL)
    second = await site.start()
    connection = await asyncpg.connect(site.environ["TOLLWAY_DATABASE_URL"])
    await connection.execute(_END_CLAIMS)
    await connection.close()
    await wait_for_state(second, "delivered")
    assert len(receiver.received) == 2
    assert len({(each.headers["webhook-id"], each.body) for each in receiver.received}) == 1
