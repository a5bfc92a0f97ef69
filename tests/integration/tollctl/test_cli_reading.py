"""`get`, `export`, `usage`, `status` and the connection itself, as processes against a scripted admin API."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, error_body, run_tollctl, scripted_api

TIMES = {"create_time": "2026-11-01T10:00:00Z", "update_time": "2026-11-01T10:00:00Z"}
TEAM: dict[str, Any] = {
    "name": "teams/growth",
    "display_name": "Growth",
    "labels": {"env": "prod"},
    "uid": "u1",
    "etag": "e1",
    **TIMES,
}
KEY: dict[str, Any] = {
    "name": "teams/growth/keys/ci",
    "display_name": "",
    "labels": {},
    "uid": "u2",
    "etag": "e2",
    "owner": "teams/growth",
    "allowed_models": ["sim/*"],
    "metadata": {},
    "state": "active",
    "prefix": "twk_abcd",
    **TIMES,
}
ROUTE: dict[str, Any] = {
    "name": "routes/chat",
    "display_name": "",
    "labels": {},
    "uid": "u3",
    "etag": "e3",
    "model": "chat",
    "strategy": "priority",
    "targets": [
        {"upstream": "upstreams/sim", "model": "echo", "weight": 0, "priority": 0},
        {"upstream": "upstreams/sim", "model": "lorem-20", "weight": 1, "priority": 1},
    ],
    "retry": {"max_attempts": 3},
    "fallback": {"enabled": False},
    "timeouts": {"total": "30s"},
    **TIMES,
}
UPSTREAM: dict[str, Any] = {
    "name": "upstreams/openai",
    "display_name": "",
    "labels": {},
    "uid": "u4",
    "etag": "e4",
    "provider": "openai",
    "base_url": "",
    "region": "",
    "secret": {"ref": "", "fingerprint": "f00d"},
    "headers": {},
    "models": [],
    "options": {},
    **TIMES,
}

BUDGET = {
    "name": "budgets/growth",
    "match": {"teams": [], "metadata": {"env": ["prod"]}},
    "per": ["team"],
    "amount_usd": "5.00",
    "period": "month",
    "time_zone": "UTC",
    "mode": "enforce",
    "since_revision": 7,
    "status": {
        "group": {"team": "teams/growth"},
        "reset_time": "2026-12-01T00:00:00Z",
        "spent_usd": "1.00",
        "reserved_usd": "0.50",
        "remaining_usd": "3.50",
    },
}


@pytest.fixture
def api() -> Any:
    with scripted_api() as api:
        yield api


def environ(api: ScriptedApi) -> dict[str, str]:
    return {"TOLLWAY_ADMIN_URL": api.url, "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}


def test_table_joins_all_pages(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/teams"] = [
        Reply({"teams": [TEAM], "next_page_token": "p2"}),
        Reply({"teams": [{**TEAM, "name": "teams/search", "display_name": "x\x1b[2Jy"}], "next_page_token": ""}),
    ]
    done = run_tollctl("get", "teams", folder=tmp_path, environ=environ(api))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "DISPLAY", "NAME", "LABELS", "AGE"]
    assert lines[1].split()[:3] == ["growth", "Growth", "env=prod"]
    assert lines[2].startswith("search") and "\x1b" not in done.stdout
    assert [asked.query.get("page_token") for asked in api.asked] == [None, "p2"]
    assert {asked.headers["authorization"] for asked in api.asked} == {f"Bearer {ADMIN_TOKEN}"}
    assert ADMIN_TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize("said", ["routes", "Route", "ROUTES"])
def test_one_object_as_json_is_what_the_api_says(api: ScriptedApi, tmp_path: Path, said: str) -> None:
    api.replies["GET /v1/routes/chat"] = Reply(ROUTE)
    done = run_tollctl("get", said, "chat", "-o", "json", folder=tmp_path, environ=environ(api))
    assert (done.returncode, json.loads(done.stdout)) == (0, ROUTE)


def test_keys_of_every_team_and_of_one(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/teams"] = Reply({"teams": [TEAM, {**TEAM, "name": "teams/search"}], "next_page_token": ""})
    api.replies["GET /v1/teams/growth/keys"] = Reply({"keys": [KEY], "next_page_token": ""})
    api.replies["GET /v1/teams/search/keys"] = Reply({"keys": [{**KEY, "name": "teams/search/keys/a"}]})
    every = run_tollctl("get", "keys", "-o", "json", folder=tmp_path, environ=environ(api))
    assert [key["name"] for key in json.loads(every.stdout)["keys"]] == ["teams/growth/keys/ci", "teams/search/keys/a"]
    one = run_tollctl("key", "list", "growth", folder=tmp_path, environ=environ(api))
    assert one.stdout.splitlines()[1].split()[:4] == ["growth/ci", "active", "twk_abcd", "sim/*"]


def test_data_plane_by_name_is_found_in_the_list(api: ScriptedApi, tmp_path: Path) -> None:
    planes = [{"name": f"dataplanes/{name}", "connected": True, "revision": 7, "lag": 0} for name in ("a", "b")]
    api.replies["GET /v1/dataplanes"] = Reply({"data_planes": planes, "head_revision": 7})
    found = run_tollctl("get", "dataplane", "b", "-o", "yaml", folder=tmp_path, environ=environ(api))
    assert yaml.safe_load(found.stdout)["name"] == "dataplanes/b"
    missing = run_tollctl("get", "dataplane", "c", folder=tmp_path, environ=environ(api))
    assert missing.returncode == 1 and "dataplanes/c does not exist" in missing.stderr


def test_endless_lists_stop_at_a_limit_and_say_so(api: ScriptedApi, tmp_path: Path) -> None:
    event = {"name": "auditEvents/1", "time": "2026-11-01T10:00:00Z", "resource": "teams/growth", "revision": 3}
    api.replies["GET /v1/auditEvents"] = Reply({"audit_events": [event] * 50, "next_page_token": "more"})
    done = run_tollctl("get", "audit", "--filter", 'resource = "teams/growth"', folder=tmp_path, environ=environ(api))
    assert len(done.stdout.splitlines()) == 51 and "--limit" in done.stderr
    assert len(api.asked) == 1 and api.asked[0].query == {"filter": 'resource = "teams/growth"', "page_size": "50"}


def test_export_gives_manifests_without_what_only_the_server_sets(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/teams"] = Reply({"teams": [TEAM]})
    api.replies["GET /v1/upstreams"] = Reply({"upstreams": [UPSTREAM]})
    api.replies["GET /v1/routes"] = Reply({"routes": [ROUTE]})
    api.replies["GET /v1/prices"] = Reply({"prices": []})
    api.replies["GET /v1/metadataKeys"] = Reply({"metadata_keys": []})
    api.replies["GET /v1/rateLimits"] = Reply({"rate_limits": []})
    api.replies["GET /v1/budgets"] = Reply({"budgets": [BUDGET]})
    revoked = {**KEY, "name": "teams/growth/keys/old", "state": "revoked"}
    api.replies["GET /v1/teams/growth/keys"] = Reply({"keys": [KEY, revoked]})
    done = run_tollctl("export", folder=tmp_path, environ=environ(api))
    team, upstream, route, key, budget = yaml.safe_load_all(done.stdout)
    assert team == {
        "apiVersion": "tollway/v1",
        "kind": "Team",
        "metadata": {"name": "growth", "labels": {"env": "prod"}},
        "spec": {"display_name": "Growth"},
    }
    assert upstream["spec"] == {"provider": "openai"}
    assert route["spec"]["targets"][0] == {"upstream": "upstreams/sim", "model": "echo", "weight": 0}
    assert route["spec"]["fallback"] == {"enabled": False}
    assert key["metadata"] == {"name": "ci", "team": "growth"}
    assert key["spec"] == {"owner": "teams/growth", "allowed_models": ["sim/*"]}
    assert budget["spec"] == {
        "amount_usd": "5.00",
        "match": {"metadata": {"env": ["prod"]}},
        "mode": "enforce",
        "per": ["team"],
        "period": "month",
        "time_zone": "UTC",
    }
    assert "teams/growth/keys/old is left out" in done.stderr


def test_budgets_show_what_is_left_of_them(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/budgets"] = Reply({"budgets": [BUDGET]})
    done = run_tollctl("get", "budgets", folder=tmp_path, environ=environ(api))
    header, line = done.stdout.splitlines()
    titles = "NAME,AMOUNT USD,PERIOD,PER,FULLEST,SPENT USD,RESERVED USD,REMAINING USD,RESETS,MODE"
    assert re.split(r"\s{2,}", header.strip()) == titles.split(",")
    shown = "growth,5.00,month,team,team=growth,1.00,0.50,3.50,2026-12-01T00:00:00Z,enforce"
    assert re.split(r"\s{2,}", line.strip()) == shown.split(",")


def test_usage_as_table_and_json(api: ScriptedApi, tmp_path: Path) -> None:
    row = {"requests": 3, "attempts": 4, "input_tokens": 10, "output_tokens": 20, "states": {"reported": 3}}
    rows = [
        {**row, "group": {"team": "search", "model": ""}, "cost_usd": "0.25", "states": {"unpriced": 2}},
        {**row, "group": {"team": "growth", "model": "a,b"}, "cost_usd": "0.10"},
    ]
    total = {"requests": 6, "cost_usd": "0.35", "states": {"unpriced": 2}}
    api.replies["GET /v1/usage"] = Reply({"rows": rows, "total": total, "next_page_token": ""})
    arguments = ("usage", "--by", "team,model", "--since", "2026-11-01", "--until", "2026-11-02T00:00:00Z")
    table = run_tollctl(*arguments, folder=tmp_path, environ=environ(api))
    lines = [line.split() for line in table.stdout.splitlines()]
    assert [line[0] for line in lines] == ["TEAM", "search", "growth", "TOTAL"]
    assert lines[-1][-1] == "0.35" and lines[-1][1] == "6" and "2 attempts are unpriced" in table.stderr
    assert api.asked[0].query["group_by"] == "team,model"
    assert api.asked[0].query["start_time"] == "2026-11-01T00:00:00Z"
    assert api.asked[0].query["order_by"] == "cost_usd desc"
    as_json = run_tollctl(*arguments, "-o", "json", folder=tmp_path, environ=environ(api))
    assert json.loads(as_json.stdout) == {"rows": rows, "total": total}


def test_usage_asks_for_what_was_said(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/usage"] = Reply({"rows": [], "total": {}, "next_page_token": ""})
    told = ("--period", "month_to_date", "--time-zone", "Europe/Berlin", "--interval", "1d", "--wide")
    run_tollctl("usage", "--by", "metadata.app", *told, folder=tmp_path, environ=environ(api))
    asked = api.asked[-1].query
    assert (asked["period"], asked["time_zone"], asked["interval"]) == ("month_to_date", "Europe/Berlin", "1d")
    assert (asked["group_by"], asked["latencies"]) == ("metadata.app", "true")
    assert "order_by" not in asked and "start_time" not in asked
    run_tollctl("usage", "--interval", "1h30m", folder=tmp_path, environ=environ(api))
    assert api.asked[-1].query["interval"] == "5400s"


def test_the_top_is_one_page(api: ScriptedApi, tmp_path: Path) -> None:
    row = {"group": {"key": "k"}, "requests": 3, "cost_usd": "0.25"}
    api.replies["GET /v1/usage"] = Reply({"rows": [row], "total": {"requests": 9}, "next_page_token": "more"})
    done = run_tollctl(
        "usage", "--by", "key", "--top", "1", "--order-by", "errors", folder=tmp_path, environ=environ(api)
    )
    assert (api.asked[0].query["page_size"], api.asked[0].query["order_by"], len(api.asked)) == ("1", "errors desc", 1)
    assert "the total is of all" in done.stderr and done.stdout.splitlines()[-1].split()[1] == "9"


def test_csv_is_what_the_server_writes(api: ScriptedApi, tmp_path: Path) -> None:
    content = b'start_time,team,cost_usd\r\n2026-11-01T00:00:00Z,"a,b",0.10\r\n'
    api.replies["GET /v1/usage:export"] = Reply(content, headers={"content-type": "text/csv"})
    done = run_tollctl("usage", "-o", "csv", "--top", "5", folder=tmp_path, environ=environ(api))
    assert [line.split(",")[-1] for line in done.stdout.split()] == ["cost_usd", "0.10"]
    assert api.asked[-1].query["max_rows"] == "5"
    api.replies["GET /v1/usage:export"] = Reply(error_body(400, "INVALID_ARGUMENT", "no such period"), 400)
    refused = run_tollctl("usage", "-o", "csv", folder=tmp_path, environ=environ(api))
    assert refused.returncode == 1 and "no such period" in refused.stderr and refused.stdout == ""
    api.replies["GET /v1/usage:export"] = Reply(content, is_cut=True)
    assert run_tollctl("usage", "-o", "csv", folder=tmp_path, environ=environ(api)).returncode == 4


def test_rejected_token_is_exit_code_3(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/teams"] = Reply(error_body(401, "UNAUTHENTICATED", "the token is not known"), 401)
    done = run_tollctl("get", "teams", folder=tmp_path, environ=environ(api))
    assert done.returncode == 3 and api.url in done.stderr and "--token" in done.stderr
    assert ADMIN_TOKEN not in done.stderr


def test_nothing_listening_is_exit_code_4_and_names_the_url(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run_tollctl("get", "teams", "--server", f"http://127.0.0.1:{port}", folder=tmp_path)
    assert done.returncode == 4 and f"http://127.0.0.1:{port}" in done.stderr and "Traceback" not in done.stderr


def test_no_server_named_is_exit_code_4_and_says_what_to_do(tmp_path: Path) -> None:
    done = run_tollctl("get", "teams", folder=tmp_path)
    assert done.returncode == 4 and "tollctl up" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("get",),
        ("get", "nonsense"),
        ("get", "keys", "a b"),
        ("apply",),
        ("delete", "teams"),
        ("usage", "--since", "yesterday"),
        ("usage", "--since", "1d", "--period", "today"),
        ("usage", "--period", "someday"),
        ("usage", "--interval", "often"),
        ("nonsense",),
        ("key", "create"),
        ("get", "teams", "-o", "xml"),
    ],
)
def test_wrong_usage_is_exit_code_2(api: ScriptedApi, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run_tollctl(*arguments, folder=tmp_path, environ=environ(api))
    assert (done.returncode, api.asked) == (2, []), done.stderr


def test_token_of_a_local_stack_goes_to_that_stack_only(api: ScriptedApi, tmp_path: Path) -> None:
    folder = tmp_path / ".tollway"
    folder.mkdir()
    (folder / "stack.json").write_text(json.dumps({"admin_url": api.url, "admin_token": ADMIN_TOKEN}))
    api.replies["GET /v1/teams"] = Reply({"teams": []})
    assert run_tollctl("get", "teams", folder=tmp_path).returncode == 0
    assert api.asked[-1].headers["authorization"] == f"Bearer {ADMIN_TOKEN}"
    with scripted_api() as other:
        other.replies["GET /v1/teams"] = Reply({"teams": []})
        run_tollctl("get", "teams", "--server", other.url, folder=tmp_path)
        assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"error": "no"}'])
def test_other_servers_are_told_apart(api: ScriptedApi, tmp_path: Path, content: bytes) -> None:
    api.replies["GET /v1/teams"] = Reply(content, 502)
    done = run_tollctl("get", "teams", folder=tmp_path, environ=environ(api))
    assert done.returncode == 1 and "does not answer as a Tollway admin API" in done.stderr
    assert done.stderr.count("\n") == 1


def test_broken_off_answer_is_unreachable(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/teams"] = Reply({"teams": []}, is_cut=True)
    done = run_tollctl("get", "teams", folder=tmp_path, environ=environ(api))
    assert done.returncode == 4 and "broke off" in done.stderr


def test_quiet_prints_results_only(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/teams"] = Reply({"teams": []})
    loud = run_tollctl("get", "teams", folder=tmp_path, environ=environ(api))
    silent = run_tollctl("get", "teams", "-q", folder=tmp_path, environ=environ(api))
    assert (loud.stderr, silent.stderr, silent.stdout) == ("no teams\n", "", "")


def test_alerts_of_budgets_show_what_fails_and_why(api: ScriptedApi, tmp_path: Path) -> None:
    name = "budgetAlerts/7f1c8f5e-8f0e-4c62-9f0e-0a2b3c4d5e6f"
    alert = {
        "name": name,
        "budget": "budgets/growth",
        "group": {"team": "teams/growth"},
        "threshold_percent": 90,
        "spent_usd": "90.50",
        "amount_usd": "100.00",
        "state": "failing",
        "attempts": 3,
        "reason": "answered 503",
        "create_time": "2026-11-01T10:00:00Z",
    }
    api.replies["GET /v1/budgetAlerts"] = Reply({"budget_alerts": [alert]})
    api.replies[f"GET /v1/{name}"] = Reply(alert)
    done = run_tollctl("get", "budgetalerts", "--filter", "budget = growth", folder=tmp_path, environ=environ(api))
    assert api.asked[-1].query["filter"] == "budget = growth"
    for shown in ("growth", "team=teams/growth", "90%", "90.50", "failing", "answered 503", name.partition("/")[2]):
        assert shown in done.stdout
    done = run_tollctl("get", "budgetalert", name, "-o", "json", folder=tmp_path, environ=environ(api))
    assert json.loads(done.stdout) == alert
