"""`ledger`, as processes against a scripted admin API."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, error_body, run_tollctl, scripted_api

LETTER = {
    "name": "deadLetters/7",
    "reason": "state 0 is not known",
    "deliveries": 2,
    "last_time": "2026-11-28T07:00:00Z",
    "boot_id": "11",
    "sequence": 4,
    "team": "teams/growth",
    "key": "teams/growth/keys/ci",
    "request_id": "req_1",
}
DRIFT = {
    "kind": "sums",
    "span_s": 900,
    "slot": "2026-11-27T10:15:00Z",
    "group": {"team": "teams/growth", "route": ""},
    "sum": "cost_nano_usd",
    "expected": 1_500_000_000,
    "found": 2_000_000_000,
}
BUDGET_DRIFT = {
    "budget": "budgets/monthly",
    "values": ["teams/growth"],
    "period_start_time": "2026-11-01T00:00:00Z",
    "sum": "spent",
    "expected_usd": "1.50",
    "found_usd": "1.25",
}
CLEAN = {"first_day": "2026-11-26", "last_day": "2026-11-28"}
REPLAY: dict[str, Any] = {"name": "ledgerReplays/3", "since_time": "2026-11-28T06:00:00Z"}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        yield api


def ledger(api: ScriptedApi, folder: Path, *arguments: str) -> CompletedProcess[str]:
    settings = {"TOLLWAY_ADMIN_URL": api.url, "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}
    return run_tollctl("ledger", *arguments, folder=folder, environ=settings)


def test_dead_letters_are_a_table(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/deadLetters"] = Reply({"dead_letters": [LETTER]})
    done = ledger(api, tmp_path, "dlq", "list")
    assert done.returncode == 0
    title, line = done.stdout.splitlines()
    assert title.split()[:2] == ["ID", "LAST"]
    assert line.split()[:8] == ["7", "2026-11-28T07:00:00Z", "2", "growth", "ci", "req_1", "11", "4"]
    assert line.endswith("state 0 is not known")
    assert api.asked[0].query["show_discarded"] == "false"


def test_one_dead_letter_is_shown_whole(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/deadLetters/7"] = Reply(LETTER)
    done = ledger(api, tmp_path, "dlq", "show", "7", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, LETTER)


def test_replaying_all_letters_tells_each_and_fails_when_one_stays(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/deadLetters"] = Reply({"dead_letters": [LETTER, {**LETTER, "name": "deadLetters/8"}]})
    results = [{"name": "deadLetters/7", "inserted": 1}, {"name": "deadLetters/8", "reason": "still wrong"}]
    api.replies["POST /v1/deadLetters:replay"] = Reply({"results": results})
    done = ledger(api, tmp_path, "dlq", "replay", "--all")
    assert done.returncode == 1
    assert done.stdout == "deadLetters/7 is gone: 1 booked, 0 known\ndeadLetters/8 stays: still wrong\n"
    assert "1 of 2" in done.stderr
    assert api.asked[-1].body == {"names": ["deadLetters/7", "deadLetters/8"]}


@pytest.mark.parametrize(
    "arguments",
    [("replay",), ("replay", "7", "--all"), ("replay", "x"), ("discard", "7"), ("discard", "--reason", "r")],
)
def test_letters_must_be_named(api: ScriptedApi, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert ledger(api, tmp_path, "dlq", *arguments).returncode == 2
    assert api.asked == []


def test_letters_are_set_aside_with_a_reason(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/deadLetters:discard"] = Reply({})
    done = ledger(api, tmp_path, "dlq", "discard", "7", "deadLetters/8", "--reason", "a test's events")
    assert (done.returncode, done.stdout) == (0, "2 dead letters set aside\n")
    assert api.asked[0].body == {"names": ["deadLetters/7", "deadLetters/8"], "reason": "a test's events"}


def test_a_right_ledger_is_verified_day_by_day(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/ledger"] = Reply(CLEAN)
    for day in ("2026-11-26", "2026-11-27", "2026-11-28"):
        api.replies[f"GET /v1/ledger/days/{day}:verify"] = Reply({"name": f"ledger/days/{day}", "entries": 5})
    api.replies["GET /v1/budgets:verify"] = Reply({"buckets": 4, "unverified": 1})
    done = ledger(api, tmp_path, "verify")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "4 buckets of budgets: 0 sums with drift; entries of 1 are partly gone from the database",
        "3 days, 15 entries: 0 days with drift, 0 other problems",
    ]


def test_drift_and_everything_else_that_is_wrong_is_told(api: ScriptedApi, tmp_path: Path) -> None:
    gap = {"boot_id": "11", "first": 4, "last": 9, "seen_time": "2026-11-28T07:00:00Z"}
    state = {**CLEAN, "gaps": [gap], "dead_letters": 2, "stray_entries": 5, "late_entries": 2}
    api.replies["GET /v1/ledger"] = Reply(state)
    report = {"name": "ledger/days/2026-11-27", "entries": 5, "drift_count": 1, "drifts": [DRIFT]}
    api.replies["GET /v1/ledger/days/2026-11-27:verify"] = Reply(report)
    done = ledger(api, tmp_path, "verify", "--from", "2026-11-27", "--to", "2026-11-27")
    assert done.returncode == 1
    assert "team=teams/growth" in done.stdout
    assert "cost  1.50 USD  2.00 USD" in done.stdout
    assert "missing since 2026-11-28T07:00:00Z: events 4 to 9 of producer 11" in done.stdout
    assert "2 dead letters" in done.stdout
    assert "3 entries are in the default partition" in done.stdout
    assert done.stdout.endswith("1 days, 5 entries: 1 days with drift, 3 other problems\n")


def test_repair_makes_a_day_anew_and_says_so(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/ledger"] = Reply({"first_day": "2026-11-27", "last_day": "2026-11-27"})
    wrong = {"name": "ledger/days/2026-11-27", "entries": 5, "drift_count": 1, "drifts": [DRIFT]}
    right = {"name": "ledger/days/2026-11-27", "entries": 5}
    api.replies["GET /v1/ledger/days/2026-11-27:verify"] = [Reply(wrong), Reply(right)]
    api.replies["POST /v1/ledger/days/2026-11-27:repair"] = Reply({"removed_sums": 8, "made_sums": 7})
    budgets = {"buckets": 4, "drift_count": 1, "drifts": [BUDGET_DRIFT]}
    api.replies["GET /v1/budgets:verify"] = [Reply(budgets), Reply({"buckets": 4})]
    api.replies["POST /v1/budgets:repair"] = Reply(budgets)
    done = ledger(api, tmp_path, "verify", "--repair")
    assert done.returncode == 0
    assert "removed 8 rows of sums and made 7" in done.stderr
    assert "budgets: 1 sums differed and are corrected" in done.stderr


def test_budgets_that_are_not_what_is_charged_to_them_are_told(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/ledger"] = Reply({})
    api.replies["GET /v1/budgets:verify"] = Reply({"buckets": 4, "drift_count": 1, "drifts": [BUDGET_DRIFT]})
    done = ledger(api, tmp_path, "verify")
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("budgets/"))
    assert line.split() == ["budgets/monthly", "teams/growth", "2026-11-01T00:00:00Z", "spent", "1.50", "1.25"]


def test_a_replay_is_watched_to_its_end(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/ledgerReplays"] = Reply({**REPLAY, "state": "pending"})
    done_state = {
        **REPLAY,
        "state": "succeeded",
        "messages": 9,
        "inserted": 40,
        "tap_start_time": "2026-11-28T06:30:00Z",
    }
    api.replies["GET /v1/ledgerReplays/3"] = [
        Reply({**REPLAY, "state": "running", "messages": 4, "remaining_messages": 5}),
        Reply(done_state),
    ]
    done = ledger(api, tmp_path, "replay", "--since", "2026-11-28T06:00:00Z")
    assert done.returncode == 0
    assert done.stdout.startswith("ledgerReplays/3 succeeded: 9 messages read, 0 left; 40 events booked")
    assert "5 left" in done.stderr
    assert "warning: the tap begins at 2026-11-28T06:30:00Z" in done.stderr
    assert api.asked[0].body == {"since_time": "2026-11-28T06:00:00Z"}


def test_a_replay_that_failed_is_an_error(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/ledgerReplays"] = Reply({**REPLAY, "state": "pending"})
    api.replies["GET /v1/ledgerReplays/3"] = Reply({**REPLAY, "state": "failed", "problem": "there is no tap"})
    done = ledger(api, tmp_path, "replay", "--since", "1h")
    assert done.returncode == 1
    assert "there is no tap" in done.stderr


def test_a_refusal_is_told(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/deadLetters/7"] = Reply(error_body(404, "NOT_FOUND", "deadLetters/7 does not exist"), 404)
    done = ledger(api, tmp_path, "dlq", "show", "7")
    assert (done.returncode, "deadLetters/7 does not exist" in done.stderr) == (1, True)
