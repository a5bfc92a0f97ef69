"""What a watch makes of the buckets in the database."""

import asyncio
import dataclasses
import json
import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.db.engine import Database
from controlplane.quota.alerts.rows import AlertState, Receiver
from controlplane.quota.alerts.thresholds import is_passed
from tests.integration.alerts.buckets import Watched, start_of_next_month
from tests.integration.alerts.courier import Clock, Post
from tests.integration.alerts.receiver import WebhookReceiver
from tests.unit.controlplane.quota.alerts.specimens import USD
from tollway.config.v1 import resources_pb2 as pb


@pytest.fixture
def watched(database: Database) -> Watched:
    return Watched(database, Clock())


def change(watched: Watched, **fields: object) -> None:
    watched.budgets = [dataclasses.replace(watched.budgets[0], **fields)]  # type: ignore[arg-type]


async def test_each_threshold_is_told_once(watched: Watched) -> None:
    told = []
    for spent in (49, 50, 60, 80, 95, 99, 100, 150):
        await watched.spend(spent * USD)
        told.append(await watched.look())
    assert told == [[], [50], [], [75], [90], [], [100], []]
    assert watched.woken == 4


async def test_an_alert_says_what_the_bucket_was(watched: Watched) -> None:
    identity = await watched.spend(60 * USD)
    await watched.look()
    [alert] = await watched.alerts()
    assert (alert.budget, alert.bucket_id, alert.group) == ("budgets/growth", identity, {"team": "teams/growth"})
    assert (alert.amount_nano_usd, alert.spent_nano_usd) == (100 * USD, 60 * USD)
    assert alert.window.start <= watched.clock.now() < (alert.window.end or watched.clock.now())
    assert json.loads(alert.body)["alert"]["id"] == str(alert.alert_id)
    assert (alert.delivery.state, alert.delivery.next_attempt_time) == (AlertState.PENDING, alert.create_time)


async def test_a_new_budget_that_is_over_already_tells_once(watched: Watched) -> None:
    await watched.spend(500 * USD)
    assert await watched.look() == [50, 75, 90, 100]
    assert await watched.look() == []


async def test_buckets_are_told_apart(watched: Watched) -> None:
    for team, spent in (("teams/a", 60), ("teams/b", 95), ("teams/c", 10)):
        await watched.spend(spent * USD, values=(team,))
    assert await watched.look() == [50, 50, 75, 90]
    assert {alert.group["team"] for alert in await watched.alerts()} == {"teams/a", "teams/b"}


async def test_what_counts_as_spent_for_want_of_proof_counts(watched: Watched) -> None:
    await watched.spend(40 * USD, provisional=10 * USD)
    assert await watched.look() == [50]
    await watched.spend(45 * USD)
    assert await watched.look() == []
    await watched.spend(55 * USD)
    assert await watched.look() == []


async def test_a_raised_amount_repeats_nothing_and_loses_nothing(watched: Watched) -> None:
    await watched.spend(100 * USD)
    assert await watched.look() == [50, 75, 90, 100]
    change(watched, amount_nano_usd=200 * USD)
    assert await watched.look() == []
    await watched.spend(180 * USD)
    assert await watched.look() == [75, 90]
    change(watched, amount_nano_usd=100 * USD)
    assert await watched.look() == []
    change(watched, amount_nano_usd=200 * USD)
    await watched.spend(200 * USD)
    assert await watched.look() == [100]


async def test_a_threshold_that_is_added_is_told(watched: Watched) -> None:
    await watched.spend(60 * USD)
    assert await watched.look() == [50]
    change(watched, thresholds_percent=(10, 50, 1000))
    assert await watched.look() == [10]


async def test_a_new_period_starts_anew(watched: Watched) -> None:
    await watched.spend(60 * USD)
    assert await watched.look() == [50]
    watched.clock.time = start_of_next_month()
    assert await watched.look() == []
    await watched.spend(60 * USD)
    assert await watched.look() == [50]


async def test_usage_that_is_booked_late_is_told_of_its_period_for_an_hour(watched: Watched) -> None:
    change(watched, time_zone="")
    spent_at = watched.clock.now()
    watched.clock.time = start_of_next_month()
    await watched.spend(60 * USD, at=spent_at)
    assert await watched.look() == [50]
    watched.clock.pass_by(hours=1)
    await watched.spend(80 * USD, at=spent_at)
    assert await watched.look() == []


async def test_a_budget_that_counts_anew_or_is_made_anew_tells_anew(watched: Watched) -> None:
    await watched.spend(60 * USD)
    assert await watched.look() == [50]
    change(watched, generation="g2")
    assert await watched.look() == []
    await watched.spend(60 * USD)
    assert await watched.look() == [50]
    change(watched, uid=uuid.UUID(int=8))
    assert await watched.look() == [50]


async def test_the_largest_amounts_fit(watched: Watched) -> None:
    change(watched, amount_nano_usd=2**63 - 1, thresholds_percent=(50, 100, 1000), period=pb.BUDGET_PERIOD_TOTAL)
    await watched.spend(2**63 - 1)
    assert await watched.look() == [50, 100]
    [alert, _] = await watched.alerts()
    assert alert.window.start == datetime(1970, 1, 1, tzinfo=UTC)
    assert alert.window.end is None


async def test_control_planes_that_look_at_once_tell_once(database: Database) -> None:
    clock = Clock()
    planes = [Watched(database, clock) for _ in range(4)]
    for number in range(30):
        await planes[0].spend((40 + 2 * number) * USD, values=(f"teams/t{number}",))
    for _ in range(5):
        await asyncio.gather(*(plane.watch.look() for plane in planes))
    expected = sum(
        is_passed((40 + 2 * n) * USD, percent, 100 * USD) for n in range(30) for percent in (50, 75, 90, 100)
    )
    assert len(await planes[0].alerts()) == expected


async def test_more_buckets_than_one_look_takes_are_taken_in_turns(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.quota.alerts.watch.MOST_BUCKETS", 3)
    for number in range(8):
        await watched.spend(60 * USD, values=(f"teams/t{number}",))
    assert [len(await watched.look()) for _ in range(4)] == [3, 3, 2, 0]


@pytest.mark.parametrize("seed", range(4))
async def test_the_database_finds_what_the_thresholds_say(watched: Watched, seed: int) -> None:
    draw, spent, told = random.Random(seed), dict.fromkeys(("teams/a", "teams/b"), 0), set()
    for _ in range(25):
        amount = draw.choice([50, 90, 100, 110, 200, 1000])
        change(watched, amount_nano_usd=amount * USD)
        team = draw.choice(list(spent))
        spent[team] += draw.randrange(30)
        await watched.spend(spent[team] * USD, values=(team,))
        await watched.look()
        assert await watched.look() == []
        alerts = await watched.alerts()
        for name, total in spent.items():
            largest: dict[int, int] = {}
            for alert in alerts:
                if alert.group["team"] == name:
                    told.add((name, alert.threshold_percent, alert.amount_nano_usd))
                    percent = alert.threshold_percent
                    largest[percent] = max(largest.get(percent, 0), alert.amount_nano_usd)
            passed = {percent for percent in (50, 75, 90, 100) if is_passed(total * USD, percent, amount * USD)}
            assert passed <= set(largest)
        assert len(told) == len(alerts)


async def test_a_receiver_that_is_corrected_gets_what_failed_at_once(
    watched: Watched, database: Database, receiver: WebhookReceiver
) -> None:
    post = Post(database, watched.clock)
    receiver.answers = [(404, {}), (404, {}), (404, {}), (200, {})]
    post.receivers["budgets/growth"] = Receiver(receiver.url + "/wrong", "")
    change(watched, receiver=post.receivers["budgets/growth"])
    await watched.spend(60 * USD)
    await watched.look()
    for pause_s in (0, 5, 30):
        watched.clock.pass_by(seconds=pause_s)
        await post.work()
    await watched.look()
    await post.work()
    assert len(receiver.received) == 3
    change(watched, receiver=Receiver(receiver.url, ""))
    post.receivers["budgets/growth"] = watched.budgets[0].receiver
    await watched.look()
    await post.work()
    assert [each.path for each in receiver.received] == ["/hook/wrong"] * 3 + ["/hook"]


async def test_old_alerts_are_forgotten(watched: Watched) -> None:
    await watched.spend(60 * USD)
    await watched.look()
    [alert] = await watched.alerts()
    assert alert.window.end is not None
    watched.clock.time = alert.window.end + timedelta(days=90)
    await watched.watch.forget()
    assert len(await watched.alerts()) == 1
    watched.clock.pass_by(seconds=1)
    await watched.watch.forget()
    assert await watched.alerts() == []
