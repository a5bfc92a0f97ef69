"""Alerts from the database to a receiver: signed, once where all goes well, again where it does not."""

import asyncio
import dataclasses
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from controlplane.db.engine import Database
from controlplane.quota.alerts.repository import CLAIM_S, AlertPage
from controlplane.quota.alerts.rows import Alert, AlertState, Receiver
from controlplane.quota.alerts.signature import sign
from tests.integration.alerts.courier import Clock, Post, alert_of, keep
from tests.integration.alerts.receiver import WebhookReceiver
from tollctl.local.ports import find_free_port

BUDGET = "budgets/growth"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def post(database: Database, clock: Clock, receiver: WebhookReceiver) -> Post:
    post = Post(database, clock)
    post.receivers[BUDGET] = Receiver(receiver.url, "")
    return post


async def test_an_alert_is_delivered_once(post: Post, database: Database, receiver: WebhookReceiver) -> None:
    made = alert_of(post.clock.now())
    await keep(database, [made])
    await post.work()
    post.clock.pass_by(hours=25)
    await post.work()
    [received] = receiver.received
    assert received.body == made.body
    assert received.headers["webhook-id"] == str(made.alert_id)
    assert "webhook-signature" not in received.headers
    delivery = (await post.only()).delivery
    assert (delivery.state, delivery.attempts, delivery.reason) == (AlertState.DELIVERED, 1, "")
    assert delivery.deliver_time == delivery.last_attempt_time
    assert delivery.next_attempt_time is None


async def test_it_is_signed_with_the_secret_of_the_budget(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    post.receivers[BUDGET] = Receiver(receiver.url, "env:HOOK_SECRET")
    post.environ["HOOK_SECRET"] = "grey heron"
    await keep(database, [alert_of(post.clock.now())])
    await post.work()
    [received] = receiver.received
    sent_s = int(received.headers["webhook-timestamp"])
    assert sent_s == int(post.clock.now().timestamp())
    expected = sign(b"grey heron", received.headers["webhook-id"], sent_s, received.body)
    assert received.headers["webhook-signature"] == expected


async def test_without_its_secret_it_does_not_go_out(post: Post, database: Database, receiver: WebhookReceiver) -> None:
    post.receivers[BUDGET] = Receiver(receiver.url, "env:HOOK_SECRET")
    await keep(database, [alert_of(post.clock.now())])
    await post.work()
    assert receiver.received == []
    failing = (await post.only()).delivery
    assert failing.reason == "webhook_secret_ref: environment variable HOOK_SECRET is not set"
    assert failing.state is AlertState.FAILING
    post.environ["HOOK_SECRET"] = "grey heron"
    post.clock.pass_by(seconds=5)
    await post.work()
    assert len(receiver.received) == 1


async def test_variables_of_the_control_plane_sign_nothing(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    post.receivers[BUDGET] = Receiver(receiver.url, "env:TOLLWAY_ADMIN_TOKEN")
    post.environ["TOLLWAY_ADMIN_TOKEN"] = "twa_secret"
    await keep(database, [alert_of(post.clock.now())])
    await post.work()
    assert receiver.received == []
    assert "Tollway's own" in (await post.only()).delivery.reason


async def test_a_failure_is_repeated_with_the_same_id_and_body(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    receiver.answers = [(500, {}), (302, {"location": "/"}), "hang", (200, {})]
    await keep(database, [alert_of(post.clock.now())])
    reasons = []
    for pause_s in (0, 5, 30, 120):
        post.clock.pass_by(seconds=pause_s - 1)
        await post.work()
        post.clock.pass_by(seconds=1)
        await post.work()
        reasons.append((await post.only()).delivery.reason)
    assert len({(each.body, each.headers["webhook-id"]) for each in receiver.received}) == 1
    assert len({each.headers["webhook-timestamp"] for each in receiver.received}) == 4
    assert reasons[0] == "answered 500"
    assert "redirects are not followed" in reasons[1]
    assert reasons[2:] == ["did not answer within 1 s", ""]
    assert post.states == [AlertState.FAILING] * 3 + [AlertState.DELIVERED]


async def test_it_is_given_up_after_a_day_and_sent_when_an_admin_says_so(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    post.receivers[BUDGET] = Receiver(f"http://127.0.0.1:{find_free_port()}/", "")
    made = alert_of(post.clock.now())
    await keep(database, [made])
    while (await post.only()).delivery.next_attempt_time is not None:
        await post.work()
        post.clock.pass_by(minutes=5)
    given_up = (await post.only()).delivery
    assert (given_up.state, given_up.reason) == (AlertState.FAILED, "cannot be reached: connection refused")
    assert given_up.last_attempt_time is not None
    assert timedelta(hours=22) < given_up.last_attempt_time - made.create_time <= timedelta(hours=24)
    assert 24 <= given_up.attempts <= 30
    post.receivers[BUDGET] = Receiver(receiver.url, "")
    now = post.clock.now()
    await post.repository.retry(made.alert_id, now, now + timedelta(hours=24))
    await post.work()
    assert len(receiver.received) == 1
    assert (await post.only()).delivery.state is AlertState.DELIVERED


async def test_a_pause_that_the_receiver_asks_for_is_kept(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    receiver.answers = [(429, {"retry-after": "90"}), (200, {})]
    await keep(database, [alert_of(post.clock.now())])
    await post.work()
    assert (await post.only()).delivery.next_attempt_time == post.clock.now() + timedelta(seconds=90)


async def test_an_alert_of_a_budget_that_is_gone_fails(post: Post, database: Database) -> None:
    await keep(database, [alert_of(post.clock.now(), budget="budgets/gone")])
    await post.work()
    delivery = (await post.only()).delivery
    assert delivery.state is AlertState.FAILED
    assert delivery.reason == "budgets/gone was deleted or has no webhook_url any more"
    assert delivery.next_attempt_time is None


async def test_two_control_planes_share_the_alerts(database: Database, clock: Clock, receiver: WebhookReceiver) -> None:
    posts = [Post(database, clock), Post(database, clock)]
    made = [
        alert_of(clock.now(), budget=f"budgets/b{number}", budget_uid=uuid.UUID(int=number)) for number in range(40)
    ]
    for post in posts:
        post.receivers.update({alert.budget: Receiver(receiver.url, "") for alert in made})
    await keep(database, made)
    await asyncio.gather(*(post.work() for post in posts))
    assert sorted(each.headers["webhook-id"] for each in receiver.received) == sorted(str(a.alert_id) for a in made)


async def test_a_claim_is_of_one_try_and_ends_when_its_process_did(post: Post, database: Database) -> None:
    await keep(database, [alert_of(post.clock.now())])
    [claimed] = await post.repository.claim(post.clock.now(), 16)
    assert await post.repository.claim(post.clock.now(), 16) == []
    post.clock.pass_by(seconds=CLAIM_S)
    [again] = await post.repository.claim(post.clock.now(), 16)
    assert (claimed.delivery.attempts, again.delivery.attempts) == (1, 2)
    await post.repository.finish(again.alert_id, dataclasses.replace(again.delivery, state=AlertState.DELIVERED))
    late = dataclasses.replace(claimed.delivery, state=AlertState.FAILING, reason="answered 500")
    await post.repository.finish(claimed.alert_id, late)
    assert (await post.only()).delivery.state is AlertState.DELIVERED


async def test_a_receiver_that_hangs_holds_up_no_other_budget(post: Post, database: Database) -> None:
    slow = [alert_of(post.clock.now(), percent) for percent in range(50, 80)]
    await keep(database, [*slow, alert_of(post.clock.now(), budget="budgets/b", budget_uid=uuid.UUID(int=8))])
    first = await post.repository.claim(post.clock.now(), 16)
    assert sorted(alert.budget for alert in first) == ["budgets/b", BUDGET]
    assert await post.repository.claim(post.clock.now(), 16) == []


async def test_thresholds_of_a_budget_go_out_in_order(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    made = [alert_of(post.clock.now(), percent) for percent in (100, 50, 90, 75)]
    await keep(database, made)
    await post.work()
    assert [each.json["alert"]["threshold_percent"] for each in receiver.received] == [50, 75, 90, 100]


async def test_the_task_delivers_what_it_is_woken_for(
    post: Post, database: Database, receiver: WebhookReceiver
) -> None:
    task = asyncio.create_task(post.courier.run())
    for count in (1, 2):
        await keep(database, [alert_of(datetime.now(UTC) - timedelta(days=count))])
        post.courier.wake()
        await receiver.wait_for(lambda received, count=count: len(received) == count)  # type: ignore[misc]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_pages_go_from_the_newest_to_the_oldest(post: Post, database: Database) -> None:
    times = [post.clock.now() - timedelta(minutes=minute) for minute in range(7)]
    made = [alert_of(time) for time in times] + [alert_of(times[3])]
    await keep(database, made)
    found: list[Alert] = []
    while True:
        before = (found[-1].create_time, found[-1].alert_id) if found else None
        page = await post.repository.read_page(AlertPage(3, before))
        if not page:
            break
        found += page
    assert [alert.alert_id for alert in found] == [
        alert.alert_id for alert in sorted(made, key=lambda alert: (alert.create_time, alert.alert_id), reverse=True)
    ]


async def test_alerts_of_windows_long_over_are_forgotten(post: Post, database: Database) -> None:
    made = alert_of(post.clock.now())
    assert made.window.end is not None
    await keep(database, [made])
    assert await post.repository.forget(made.window.end, 10) == 0
    assert await post.repository.forget(made.window.end + timedelta(seconds=1), 10) == 1
    assert await post.repository.read_page(AlertPage(10)) == []
