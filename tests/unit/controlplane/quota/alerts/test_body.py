import json
import uuid
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.alerts.body import render_body, render_text
from controlplane.quota.alerts.rows import Window
from tests.unit.controlplane.quota.alerts.specimens import MONTH, NOW, USD, bucket, budget
from tollway.config.v1 import resources_pb2 as pb


def text_of(
    spent_nano_usd: int, threshold_percent: int = 90, *, values: tuple[str, ...] = ("teams/growth",), **rule: Any
) -> str:
    return render_text(budget(**rule), bucket(spent_nano_usd, values=values), threshold_percent, NOW)


def test_programs_find_everything_beside_the_text() -> None:
    body = json.loads(render_body(uuid.UUID(int=3), budget(), bucket(92 * USD + 1), 90, NOW))
    assert set(body) == {"text", "alert"}
    assert body["alert"] == {
        "id": "00000000-0000-0000-0000-000000000003",
        "kind": "budget_threshold",
        "create_time": "2026-11-20T12:00:00Z",
        "budget": "budgets/growth",
        "group": {"team": "teams/growth"},
        "threshold_percent": 90,
        "spent_percent": 92,
        "amount_usd": "100.00",
        "spent_usd": "92.000000001",
        "period": "month",
        "time_zone": "Europe/Berlin",
        "start_time": "2026-10-31T23:00:00Z",
        "reset_time": "2026-11-30T23:00:00Z",
        "mode": "enforce",
    }


def test_people_read_who_how_much_and_until_when() -> None:
    assert text_of(92_345_678_901) == (
        "Budget growth (team growth) has reached 90%: 92.34 of 100.00 USD (92%) are spent this month. "
        "It resets at 2026-12-01 00:00 Europe/Berlin."
    )


def test_resources_are_named_as_people_say_them() -> None:
    values = ("users/ann", "teams/growth/keys/ci", "openai/gpt-4o", "a/b")
    text = text_of(92 * USD, per=("user", "key", "model", "end_user"), values=values)
    assert "(user ann, key growth/ci, model openai/gpt-4o, end_user a/b)" in text


def test_a_budget_that_is_used_up_says_what_that_means() -> None:
    assert "Calls are refused until it resets or is raised." in text_of(100 * USD, 100)
    assert "Calls still pass, because it is in audit mode." in text_of(100 * USD, 100, is_enforced=False)
    assert "Calls" not in text_of(99 * USD)


def test_a_period_that_is_over_is_named() -> None:
    text = render_text(budget(), bucket(92 * USD), 90, (MONTH.end or NOW) + timedelta(minutes=1))
    assert "are spent in the month from 2026-11-01 00:00 Europe/Berlin." in text
    assert "It was reset at 2026-12-01 00:00 Europe/Berlin." in text


def test_a_total_never_resets() -> None:
    text = render_text(
        budget(period=pb.BUDGET_PERIOD_TOTAL, time_zone=""), bucket(92 * USD, window=Window(NOW, None)), 90, NOW
    )
    assert "are spent in all. It never resets." in text


def test_small_amounts_are_shown_in_full() -> None:
    assert "0.000042 of 0.00005 USD (84%)" in text_of(42_000, amount_nano_usd=50_000)


def test_a_label_of_an_app_mentions_nobody_and_links_nowhere() -> None:
    text = text_of(92 * USD, per=("end_user",), values=("<!channel> @here [a](https://x.example) \n&",))
    assert "<" not in text
    assert "@here" not in text
    assert "](" not in text
    assert "://" not in text
    assert "\n" not in text
    assert "&lt;!channel&gt;" in text


@given(st.text(max_size=300), st.integers(0, 10**18), st.integers(1, 1000))
def test_any_value_makes_a_small_json_body(value: str, spent: int, percent: int) -> None:
    made = value.encode("utf-8", "replace").decode()
    body = render_body(uuid.UUID(int=3), budget(per=("end_user",)), bucket(spent, values=(made,)), percent, NOW)
    assert json.loads(body)["alert"]["group"] == {"end_user": made}
    assert len(body) < 8192
