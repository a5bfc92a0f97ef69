"""`tollctl prices`, as processes against a scripted admin API."""

import base64
import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, error_body, run_tollctl, scripted_api

BOOK: dict[str, Any] = {
    "name": "priceBooks/litellm-1",
    "source": "LiteLLM",
    "state": "imported",
    "model_count": 2,
    "price_count": 3,
    "omission_count": 4,
    "activations": [],
    "omissions": [{"reason": "is of provider x", "subjects": ["a", "b", "c", "d"]}],
    "create_time": "2026-11-28T00:00:00Z",
}
ACTIVE = {
    **BOOK,
    "name": "priceBooks/built-in",
    "state": "active",
    "activations": [{"activate_time": "2026-11-01T00:00:00Z"}],
    "create_time": "2026-11-01T00:00:00Z",
}
SUMMARY = {"base": "priceBooks/built-in", "added": 1, "removed": 2, "changed": 3, "unchanged": 4}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        yield api


def run(api: ScriptedApi, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"TOLLWAY_ADMIN_URL": api.url, "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}
    return run_tollctl("prices", *arguments, folder=folder, environ=environ)


def test_an_import_sends_the_file_and_says_what_to_do_next(api: ScriptedApi, tmp_path: Path) -> None:
    content = b'{"m": {"input_cost_per_token": 1e-06}}'
    (tmp_path / "prices.json").write_bytes(content)
    api.replies["POST /v1/priceBooks:import"] = Reply({"price_book": BOOK, "created": True, "diff": SUMMARY})
    done = run(api, tmp_path, "import", "--litellm", "prices.json")
    assert done.returncode == 0, done.stderr
    assert gzip.decompress(base64.b64decode(api.asked[0].body["litellm_json"])) == content
    assert done.stdout.splitlines()[1].split() == ["litellm-1", "imported", "LiteLLM", "2", "3", "4", "-"]
    assert "left out: a, b, c and 1 more: is of provider x" in done.stderr
    assert "compared with priceBooks/built-in: 1 added, 2 removed, 3 changed, 4 unchanged" in done.stderr
    assert "tollctl prices diff litellm-1" in done.stderr
    assert "tollctl prices activate litellm-1" in done.stderr
    api.replies["POST /v1/priceBooks:import"] = Reply({"price_book": ACTIVE, "created": False})
    again = run(api, tmp_path, "import", "--genai", "-o", "json")
    assert api.asked[1].body["installed_catalog"] is True
    assert json.loads(again.stdout)["price_book"]["state"] == "active"


def test_an_import_needs_one_source_that_can_be_read(api: ScriptedApi, tmp_path: Path) -> None:
    for arguments in (["import"], ["import", "--genai", "--litellm", "x"]):
        assert run(api, tmp_path, *arguments).returncode == 2
    missing = run(api, tmp_path, "import", "--litellm", "missing.json")
    assert (missing.returncode, api.asked) == (1, [])
    assert "missing.json cannot be read" in missing.stderr


def test_books_are_listed_with_what_is_in_force(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["GET /v1/priceBooks"] = [
        Reply({"price_books": [ACTIVE], "next_page_token": "t"}),
        Reply({"price_books": [BOOK]}),
    ]
    lines = run(api, tmp_path, "books").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["built-in", "active"], ["litellm-1", "imported"]]
    assert lines[1].split()[-1] == "always"


def test_a_diff_is_a_line_per_rate(api: ScriptedApi, tmp_path: Path) -> None:
    line = {
        "provider": "openai",
        "model": "gpt-4o",
        "meter": "input",
        "service_tier": "flex",
        "above_input_tokens": 200000,
        "band": {"start_time": "16:30", "end_time": "00:30", "weekdays": ["mon"]},
        "before_usd": "2.50",
        "after_usd": "",
        "per": 1000000,
    }
    api.replies["GET /v1/priceBooks/litellm-1:diff"] = Reply({"lines": [line], "summary": SUMMARY})
    done = run(api, tmp_path, "diff", "litellm-1", "--base", "priceBooks/built-in")
    assert api.asked[0].query["base"] == "priceBooks/built-in"
    assert "flex, above 200000 tokens, 16:30-00:30 UTC mon" in done.stdout
    assert done.stdout.split()[-3:] == ["2.50", "-", "1M"]
    assert "3 changed" in done.stderr
    bad = run(api, tmp_path, "diff", "No Name")
    assert bad.returncode == 2
    assert "tollctl prices books" in bad.stderr


def test_activation_now_later_and_refused(api: ScriptedApi, tmp_path: Path) -> None:
    path = "POST /v1/priceBooks/litellm-1:activate"
    scheduled = {**BOOK, "state": "scheduled", "activations": [{"effective_from": "2100-01-01T00:00:00Z"}]}
    api.replies[path] = [
        Reply(ACTIVE),
        Reply(scheduled),
        Reply(error_body(400, "INVALID_ARGUMENT", "in the past"), 400),
    ]
    assert "active" in run(api, tmp_path, "activate", "litellm-1").stdout
    later = run(api, tmp_path, "activate", "litellm-1", "--from", "2100-01-01")
    assert later.stdout.split()[-1] == "2100-01-01T00:00:00Z"
    refused = run(api, tmp_path, "activate", "litellm-1", "--from", "2000-01-01")
    assert (refused.returncode, "in the past" in refused.stderr) == (1, True)
    assert [asked.body.get("effective_from") for asked in api.asked] == [
        None,
        "2100-01-01T00:00:00Z",
        "2000-01-01T00:00:00Z",
    ]


def test_withdraw_and_delete_name_the_book(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/priceBooks/litellm-1:withdraw"] = Reply(BOOK)
    api.replies["DELETE /v1/priceBooks/litellm-1"] = Reply({})
    assert "imported" in run(api, tmp_path, "withdraw", "litellm-1").stdout
    assert run(api, tmp_path, "delete", "litellm-1").stdout == "priceBooks/litellm-1 deleted\n"


def test_show_says_what_holds_and_why(api: ScriptedApi, tmp_path: Path) -> None:
    price = {
        "provider": "openai",
        "price": "prices/deal",
        "discount_percent": "12.5",
        "reason": "prices/deal is a discount on the book",
        "rates": [{"meter": "input", "price_usd": "2.50", "per": 1000000, "service_tier": "batch"}],
        "passed_over": [{"price": "prices/night", "reason": "holds at other times of the day"}],
    }
    api.replies["GET /v1/priceBooks:resolve"] = [Reply({"resolved_prices": [price]}), Reply({"resolved_prices": []})]
    done = run(api, tmp_path, "show", "gpt-4o", "--provider", "openai", "--at", "2026-11-01")
    assert api.asked[0].query == {"model": "gpt-4o", "provider": "openai", "time": "2026-11-01T00:00:00Z"}
    assert done.stdout.splitlines()[0] == "openai: prices/deal"
    assert "12.5% is taken off the sum of each call" in done.stdout
    assert "not prices/night: holds at other times of the day" in done.stdout
    nothing = run(api, tmp_path, "show", "gpt-9")
    assert (nothing.returncode, "unpriced" in nothing.stderr) == (1, True)
