"""The command line as people use it, on a whole running stack."""

import asyncio
import csv
import io
import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.stack import Admin, Stack, eventually
from tests.fakes.admin_api import run_tollctl

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG_KINDS = ("teams", "keys", "upstreams", "routes", "prices", "metadatakeys")
UNKNOWN_TOKEN = "twa_unknown-0123456789abcdefghij"


async def tollctl(
    stack: Stack, *arguments: str, stdin: str = "", environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        run_tollctl,
        *arguments,
        f"--data-dir={stack.data_dir}",
        folder=stack.folder,
        environ=environ,
        stdin=stdin,
    )


async def succeed(stack: Stack, *arguments: str, stdin: str = "") -> str:
    """What it prints on stdout."""
    done = await tollctl(stack, *arguments, stdin=stdin)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


async def chat_until_accepted(stack: Stack, model: str, key: str) -> subprocess.CompletedProcess[str]:
    """A new key and a new route reach the data plane a moment after they were made."""
    done: list[subprocess.CompletedProcess[str]] = []

    async def is_accepted() -> bool:
        done.append(await tollctl(stack, "chat", model, "hello there", f"--key={key}"))
        return done[-1].returncode == 0

    await eventually(is_accepted, 10, f"the data plane to answer {model}")
    return done[-1]


async def test_quickstart_from_nothing_to_the_bill_and_away_again(stack: Stack) -> None:
    file = str(EXAMPLES / "quickstart.yaml")
    dry = await succeed(stack, "apply", "-f", file, "--dry-run")
    assert '    + display_name: "Growth"\n' in dry and "twk_" not in dry
    applied = (await succeed(stack, "apply", "-f", file)).splitlines()
    names = ["teams/growth", "teams/growth/keys/website", "routes/assistant", "upstreams/local", "prices/llama"]
    assert [line for line in applied if not line.startswith(" ")] == [f"{name} created" for name in names]
    (key,) = [line.split()[1] for line in applied if line.startswith("    secret: twk_")]
    assert await succeed(stack, "apply", "-f", file) == "".join(f"{name} unchanged\n" for name in names)
    assert await succeed(stack, "diff", "-f", file) == ""

    answer = await chat_until_accepted(stack, "assistant", key)
    assert answer.stdout == "hello there\n" and "2 + 2 tokens" in answer.stderr
    await eventually(lambda: is_billed(stack, "growth", "0.00001"), 10, "the ledger to show the call")
    table = (await succeed(stack, "usage", "--by", "team,model")).splitlines()
    assert ["growth", "assistant"] in [line.split()[:2] for line in table]
    listed = json.loads(await succeed(stack, "get", "usagerecords", "--filter", 'team = "growth"', "-o", "json"))
    record = listed["usage_records"][0]
    assert (record["model"], record["metadata"]["app"]) == ("assistant", "website")
    one = json.loads(await succeed(stack, "get", "usagerecord", record["request_id"], "-o", "json"))
    assert one["request_id"] == record["request_id"]

    gone = await tollctl(stack, "delete", "-f", file)
    assert gone.returncode == 0, gone.stderr
    again = await tollctl(stack, "delete", "-f", file)
    assert again.returncode == 1 and "teams/growth" in again.stderr
    assert (await tollctl(stack, "delete", "-f", file, "--ignore-not-found")).returncode == 0


async def is_billed(stack: Stack, team: str, cost_usd: str) -> bool:
    text = await succeed(stack, "usage", "--by", "team", "-o", "csv")
    return any(row["team"] == team and row["cost_usd"] == cost_usd for row in csv.DictReader(io.StringIO(text)))


async def test_fallback_example_shows_the_second_attempt(stack: Stack) -> None:
    file = str(EXAMPLES / "fallback.yaml")
    await succeed(stack, "apply", "-f", file)
    key = stack.info["demo_key"]
    answer = await chat_until_accepted(stack, "resilient", key)
    assert "answered by sim/echo at attempt 2" in answer.stderr
    whole = await tollctl(stack, "chat", "resilient", "hello there", "--no-stream")
    assert whole.stdout == "hello there\n" and "0.00001 USD" in whole.stderr
    await succeed(stack, "delete", "route", "resilient")


async def test_export_applies_unchanged_and_holds_no_secret(stack: Stack, admin: Admin) -> None:
    mark = secrets.token_hex(4)
    value = f"sk-{secrets.token_hex(16)}"
    body = {"provider": "openai", "secret": {"value": value}, "labels": {"a": "b"}}
    await admin.call("POST", f"/v1/upstreams?upstream_id=up-{mark}", body)
    target = {"upstream": f"up-{mark}", "model": "m", "weight": 0}
    spec = {"targets": [target, {"upstream": "sim", "model": "echo", "priority": 3}], "fallback": {"enabled": False}}
    await admin.call("POST", f"/v1/routes?route_id=r-{mark}", {**spec, "timeouts": {"total": "1.5s"}})
    await admin.call("POST", f"/v1/teams?team_id=t-{mark}", {"display_name": "on"})
    created = await succeed(stack, "key", "create", f"t-{mark}", "kept", "--expires", "30d", "--metadata", "app=a")
    await succeed(stack, "key", "create", f"t-{mark}", "gone")
    await succeed(stack, "key", "revoke", f"t-{mark}", "gone")

    exported = await tollctl(stack, "export")
    assert exported.returncode == 0 and f"teams/t-{mark}/keys/gone is left out" in exported.stderr
    assert value not in exported.stdout and created.strip() not in exported.stdout
    assert stack.info["demo_key"] not in exported.stdout
    documents = list(yaml.safe_load_all(exported.stdout))
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    made = {("Team", f"t-{mark}"), ("Upstream", f"up-{mark}"), ("Route", f"r-{mark}"), ("VirtualKey", "kept")}
    assert made <= names and ("VirtualKey", "gone") not in names
    applied = await succeed(stack, "apply", "-f", "-", stdin=exported.stdout)
    assert {line.split()[1] for line in applied.splitlines()} == {"unchanged"}


async def test_diff_tells_each_field(stack: Stack) -> None:
    mark = secrets.token_hex(4)
    team = {"apiVersion": "tollway/v1", "kind": "Team", "metadata": {"name": f"t-{mark}"}}
    await succeed(stack, "apply", "-f", "-", stdin=json.dumps({**team, "spec": {"display_name": "A"}}))
    done = await tollctl(stack, "diff", "-f", "-", stdin=json.dumps({**team, "spec": {"display_name": "B"}}))
    assert (done.returncode, done.stdout) == (1, f'~ teams/t-{mark}\n    ~ display_name: "A" -> "B"\n')
    shown = json.loads(await succeed(stack, "get", "team", f"t-{mark}", "-o", "json"))
    assert shown["display_name"] == "A"


async def test_keys_live_and_die(stack: Stack) -> None:
    team = f"t-{secrets.token_hex(4)}"
    manifest = {"apiVersion": "tollway/v1", "kind": "Team", "metadata": {"name": team}}
    await succeed(stack, "apply", "-f", "-", stdin=json.dumps(manifest))
    first = (await succeed(stack, "key", "create", f"{team}/ci", "--allowed-model", "sim/echo")).strip()
    await chat_until_accepted(stack, "sim/echo", first)
    other_model = await tollctl(stack, "chat", "sim/lorem-20", "x", f"--key={first}")
    assert other_model.returncode == 1 and "model_not_allowed" in other_model.stderr
    second = (await succeed(stack, "key", "rotate", f"{team}/ci")).strip()
    await chat_until_accepted(stack, "sim/echo", second)
    assert (await tollctl(stack, "chat", "sim/echo", "x", f"--key={first}")).returncode == 0
    await succeed(stack, "key", "revoke", team, "ci")

    async def is_refused() -> bool:
        return (await tollctl(stack, "chat", "sim/echo", "x", f"--key={second}")).returncode == 3

    await eventually(is_refused, 10, "the revoked key to be refused")
    assert (await succeed(stack, "key", "list", team)).splitlines()[1].split()[:2] == [f"{team}/ci", "revoked"]


async def test_every_kind_can_be_listed_in_every_form(stack: Stack) -> None:
    for kind in (*CONFIG_KINDS, "dataplanes", "auditevents", "usagerecords"):
        await succeed(stack, "get", kind)
        listed = json.loads(await succeed(stack, "get", kind, "-o", "json"))
        assert isinstance(next(value for value in listed.values() if isinstance(value, list)), list)
        assert isinstance(yaml.safe_load(await succeed(stack, "get", kind, "-o", "yaml")), dict)
    for kind, name in (("team", "demo"), ("key", "demo/demo"), ("upstream", "sim")):
        shown: dict[str, Any] = json.loads(await succeed(stack, "get", kind, name, "-o", "json"))
        assert shown["name"].endswith(f"/{name.rpartition('/')[2]}")


async def test_refusals_name_the_file_the_object_and_the_field(stack: Stack) -> None:
    wrong = """
apiVersion: tollway/v1
kind: Team
metadata: {name: bad-team}
spec: {colour: red}
---
apiVersion: tollway/v1
kind: Route
metadata: {name: bad-route}
spec: {targets: [{upstream: nowhere, model: m}]}
---
apiVersion: tollway/v1
kind: Pod
metadata: {name: bad-pod}
"""
    done = await tollctl(stack, "apply", "-f", "-", stdin=wrong)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for expected in (
        "stdin, document 1, Team bad-team: spec.colour: unknown field; Team has",
        'stdin, document 2, Route bad-route: spec.targets[0].upstream: "upstreams/nowhere" does not exist',
        'stdin, document 3, Pod bad-pod: kind: "Pod" is not a kind',
    ):
        assert expected in done.stderr
    missing = await tollctl(stack, "get", "team", "bad-team")
    assert missing.returncode == 1 and "teams/bad-team" in missing.stderr
    referenced = await tollctl(stack, "delete", "team", "demo")
    assert referenced.returncode == 1 and "teams/demo/keys/demo" in referenced.stderr
    foreign = await tollctl(stack, "get", "teams", environ={"TOLLWAY_ADMIN_TOKEN": UNKNOWN_TOKEN})
    assert foreign.returncode == 3 and UNKNOWN_TOKEN not in foreign.stderr


async def test_status_and_doctor_find_nothing_wrong(stack: Stack) -> None:
    parts = json.loads(await succeed(stack, "status", "-o", "json"))["parts"]
    assert {part["name"]: part["ready"] for part in parts} == dict.fromkeys(stack.info["pids"], True)
    reports: list[str] = []

    async def is_well() -> bool:
        done = await tollctl(stack, "doctor")
        reports.append(done.stdout)
        return done.returncode == 0

    await eventually(is_well, 10, "the data plane to run the newest configuration")
    assert all(line.startswith("ok ") for line in reports[-1].splitlines())
    shown = await succeed(stack, "status") + "".join(reports)
    secret = [stack.info[name] for name in ("admin_token", "plane_token", "demo_key", "database_url", "nats_url")]
    assert not [value for value in secret if value in shown]


async def test_a_price_book_from_a_file_prices_calls_once_it_is_activated(
    stack: Stack, admin: Admin, tmp_path: Path
) -> None:
    books = json.loads(await succeed(stack, "prices", "books", "-o", "json"))["price_books"]
    built_in = next(book["name"] for book in books if book["state"] == "active")
    content = {"gpt-x": {"litellm_provider": "openai", "input_cost_per_token": 1e-6}}
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(content))
    imported = json.loads(await succeed(stack, "prices", "import", "--litellm", str(file), "-o", "json"))
    name = imported["price_book"]["name"]
    assert imported["diff"]["removed"] > 0
    key = await admin.create_team(f"prices-{secrets.token_hex(3)}")
    try:
        assert "gpt-x" in await succeed(stack, "prices", "diff", name, "--limit=5000")
        await succeed(stack, "prices", "activate", name)
        assert name in await succeed(stack, "prices", "show", "echo", "--provider", "sim")

        async def is_in_force() -> bool:
            done = await tollctl(stack, "doctor")
            return done.returncode == 0 and name in done.stdout

        await eventually(is_in_force, 10, "the data plane to run the activated book")

        async def is_priced_by_it() -> bool:
            answer = await tollctl(stack, "chat", "sim/echo", "hello", f"--key={key}")
            assert answer.returncode == 0, answer.stderr
            records = json.loads(await succeed(stack, "get", "usagerecords", "--limit", "5", "-o", "json"))
            priced = [attempt["price"] for record in records["usage_records"] for attempt in record["attempts"]]
            return f"{name}/sim/*" in priced

        await eventually(is_priced_by_it, 15, "an entry that names the new book")
        assert (await tollctl(stack, "prices", "delete", name)).returncode == 1
    finally:
        await succeed(stack, "prices", "activate", built_in)
    assert built_in in await succeed(stack, "prices", "show", "echo", "--provider", "sim")
