"""`prices rerate`, `ledger close` and `ledger periods`, as processes against a scripted admin API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, error_body, run_tollctl, scripted_api

NAME = "reratingRuns/0192aa00-0000-7000-8000-000000000001"
CREATE, GET, POST = "POST /v1/reratingRuns", f"GET /v1/{NAME}", f"POST /v1/{NAME}:post"
SUMS: dict[str, Any] = {
    "changed_entries": 3,
    "newly_priced_entries": 2,
    "newly_unpriced_entries": 1,
    "closed_entries": 1,
    "cost_before_usd": "1.00",
    "cost_after_usd": "0.75",
    "difference_usd": "-0.25",
    "closed_difference_usd": "0.50",
}
RUN: dict[str, Any] = {
    "name": NAME,
    "state": "previewing",
    "examined_entries": 9,
    "position_time": "2026-10-02T00:00:00Z",
    "end_time": "2026-11-01T00:00:00Z",
    "detached_days": [],
    "failure": "",
}
PREVIEWED = {**RUN, "state": "previewed", "preview": SUMS}
POSTED = {**PREVIEWED, "state": "posted", "posted": SUMS}
SMALL = {**SUMS, "difference_usd": "0.25"}
DIFFERENCES = [
    {"team": "a", "model": "m", "sums": SMALL},
    {"team": "b", "model": "m", "sums": {**SUMS, "difference_usd": "-0.50"}},
]
MONTH: dict[str, Any] = {
    "name": "ledgerPeriods/2026-10",
    "state": "closed",
    "close_time": "2026-11-03T08:00:00Z",
    "close_principal": "admin",
    "attempts": 12,
    "cost_usd": "3.00",
    "closed_cost_usd": "2.50",
    "late_cost_usd": "0.50",
}
RANGE = ("--from", "2026-10-01", "--to", "2026-11-01", "--book", "default")


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        api.replies |= {
            CREATE: Reply(RUN),
            GET: [Reply(RUN), Reply(PREVIEWED)],
            f"GET /v1/{NAME}/differences": Reply({"differences": DIFFERENCES, "next_page_token": ""}),
            f"POST /v1/{NAME}:cancel": Reply(RUN),
        }
        yield api


def tollctl(api: ScriptedApi, folder: Path, *arguments: str) -> Any:
    environ = {"TOLLWAY_ADMIN_URL": api.url, "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}
    return run_tollctl(*arguments, folder=folder, environ=environ)


def test_a_dry_run_shows_the_largest_difference_first_and_posts_nothing(api: ScriptedApi, tmp_path: Path) -> None:
    day = {"day": "2026-10-01", "entries": 7, "cost_usd": "0.70"}
    api.replies[GET] = Reply({**PREVIEWED, "detached_days": [day]})
    done = tollctl(api, tmp_path, "prices", "rerate", *RANGE, "--filter", 'team = "a"', "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["TEAM", "b", "a", "TOTAL"]
    assert "would change 3 of 9 entries, -0.25 USD in all; 1 of closed months" in done.stderr
    assert "2026-10-01 is detached from the ledger: its 7 entries (0.70 USD) are not rated anew" in done.stderr
    assert "1 entries have a cost and no price" in done.stderr and f"--run {NAME.partition('/')[2]}" in done.stderr
    assert api.asked[0].body == {
        "start_time": "2026-10-01T00:00:00Z",
        "end_time": "2026-11-01T00:00:00Z",
        "filter": 'team = "a"',
        "price_book": "default",
    }
    assert api.asked[0].query["request_id"] and POST not in [f"{a.method} {a.path}" for a in api.asked]


def test_confirmed_it_is_posted_and_waited_for(api: ScriptedApi, tmp_path: Path) -> None:
    posting = {**PREVIEWED, "state": "posting", "posted": SUMS}
    api.replies[GET] = [Reply(RUN), Reply(PREVIEWED), Reply(posting), Reply(POSTED)]
    api.replies[POST] = Reply(posting)
    done = tollctl(api, tmp_path, "prices", "rerate", *RANGE, "--yes", "--allow-unpriced")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{NAME} posted 3 of 9 entries, -0.25 USD in all")
    [asked] = [asked for asked in api.asked if asked.path.endswith(":post")]
    assert asked.body["allow_unpriced"] is True and asked.body["request_id"]


def test_json_is_one_document(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies[GET] = [Reply(PREVIEWED), Reply(POSTED)]
    api.replies[POST] = Reply(POSTED)
    done = tollctl(api, tmp_path, "prices", "rerate", *RANGE, "--yes", "-o", "json")
    found = json.loads(done.stdout)
    assert (found["run"]["state"], [d["team"] for d in found["differences"]]) == ("posted", ["b", "a"])


def test_without_a_terminal_nothing_is_posted_unasked(api: ScriptedApi, tmp_path: Path) -> None:
    done = tollctl(api, tmp_path, "prices", "rerate", *RANGE)
    assert done.returncode == 1 and "confirm it with --yes" in done.stderr
    assert not [asked for asked in api.asked if asked.path.endswith(":post")]


def test_nothing_to_post_ends_the_run(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies[GET] = Reply({**PREVIEWED, "preview": {**SUMS, "changed_entries": 0, "newly_unpriced_entries": 0}})
    api.replies[f"GET /v1/{NAME}/differences"] = Reply({"differences": [], "next_page_token": ""})
    done = tollctl(api, tmp_path, "prices", "rerate", *RANGE, "--yes")
    assert (done.returncode, done.stdout) == (0, "") and "nothing to post" in done.stderr
    assert api.asked[-1].path.endswith(":cancel")


def test_a_failed_run_and_a_refusal_are_errors(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies[GET] = Reply({**RUN, "state": "failed", "failure": "out of range"})
    failed = tollctl(api, tmp_path, "prices", "rerate", "--run", NAME)
    assert failed.returncode == 1 and "out of range" in failed.stderr
    api.replies[CREATE] = Reply(error_body(404, "NOT_FOUND", "priceBooks/default does not exist"), 404)
    refused = tollctl(api, tmp_path, "prices", "rerate", *RANGE)
    assert refused.returncode == 1 and "priceBooks/default does not exist" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", "now", "--book", "b"],
        ["--from", "30d"],
        ["--from", "1d", "--to", "2d", "--book", "b"],
        ["--from", "soon", "--book", "b"],
        ["--run", "r", "--book", "b"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(api: ScriptedApi, tmp_path: Path, arguments: list[str]) -> None:
    assert tollctl(api, tmp_path, "prices", "rerate", *arguments).returncode == 2
    assert not api.asked


def test_periods_are_a_table_or_what_the_api_says(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/ledgerPeriods"] = [
        Reply({"ledger_periods": [{"name": "ledgerPeriods/2026-11", "state": "open"}], "next_page_token": "p"}),
        Reply({"ledger_periods": [MONTH], "next_page_token": ""}),
    ]
    table = tollctl(api, tmp_path, "ledger", "periods").stdout.splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["2026-11", "open"], ["2026-10", "closed"]]
    assert table[2].split()[2:] == ["2026-11-03T08:00:00Z", "admin", "12", "3.00", "2.50", "0.50"]
    found = json.loads(tollctl(api, tmp_path, "ledger", "periods", "-o", "json").stdout)
    assert found == {"ledger_periods": [MONTH]}


def test_a_month_is_closed_when_it_is_confirmed(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/ledgerPeriods/2026-10:close"] = Reply(MONTH)
    unasked = tollctl(api, tmp_path, "ledger", "close", "2026-10")
    assert unasked.returncode == 1 and not api.asked
    done = tollctl(api, tmp_path, "ledger", "close", "2026-10", "--yes")
    assert done.returncode == 0 and done.stdout.splitlines()[1].startswith("2026-10")
    assert tollctl(api, tmp_path, "ledger", "close", "October", "--yes").returncode == 2
