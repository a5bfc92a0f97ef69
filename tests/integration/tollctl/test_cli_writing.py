"""`apply`, `diff`, `delete` and `key`, as processes against a scripted admin API."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.admin_api import ADMIN_TOKEN, Reply, ScriptedApi, error_body, run_tollctl, scripted_api

APPLY = "POST /v1/manifests:apply"
SECRET = "twk_" + "A" * 46
TEAM = "apiVersion: tollway/v1\nkind: Team\nmetadata: {name: growth}\nspec: {display_name: Growth}\n"
KEY = "apiVersion: tollway/v1\nkind: VirtualKey\nmetadata: {name: ci, team: growth}\n"
CREATED_KEY: dict[str, Any] = {
    "kind": "VirtualKey",
    "name": "teams/growth/keys/ci",
    "action": "created",
    "changes": [{"path": "owner", "before": None, "after": "teams/growth"}],
    "secret": SECRET,
}
UPDATED_TEAM: dict[str, Any] = {
    "kind": "Team",
    "name": "teams/growth",
    "action": "updated",
    "changes": [{"path": "display_name", "before": "G", "after": "Growth"}],
    "secret": "",
}
UNCHANGED_TEAM: dict[str, Any] = {**UPDATED_TEAM, "action": "unchanged", "changes": []}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        yield api


def environ(api: ScriptedApi) -> dict[str, str]:
    return {"TOLLWAY_ADMIN_URL": api.url, "TOLLWAY_ADMIN_TOKEN": ADMIN_TOKEN}


def answer(*results: dict[str, Any]) -> Reply:
    return Reply({"results": list(results), "revision": 5})


def test_files_folders_and_stdin_are_one_transaction(api: ScriptedApi, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "b.yaml").write_text(TEAM)
    (folder / "a.yml").write_text(KEY + "---\n" + TEAM.replace("growth", "search"))
    (folder / "notes.txt").write_text("not a manifest")
    (tmp_path / "one.json").write_text('{"kind": "Price"}')
    api.replies[APPLY] = answer(CREATED_KEY, UPDATED_TEAM)
    done = run_tollctl(
        "apply", "-f", "all", "-f", "one.json", "-f", "-", folder=tmp_path, environ=environ(api), stdin="kind: Route"
    )
    assert done.returncode == 0, done.stderr
    (asked,) = api.asked
    kinds = [(manifest["kind"], manifest.get("metadata", {}).get("name")) for manifest in asked.body["manifests"]]
    assert kinds == [("VirtualKey", "ci"), ("Team", "search"), ("Team", "growth"), ("Price", None), ("Route", None)]
    assert asked.body["validate_only"] is False
    assert done.stdout.splitlines() == [
        "teams/growth/keys/ci created",
        f"    secret: {SECRET}",
        "teams/growth updated",
    ]
    assert "shown this once" in done.stderr


def test_dry_run_shows_fields_and_asks_to_validate_only(api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEAM)
    api.replies[APPLY] = answer(UPDATED_TEAM)
    done = run_tollctl("apply", "--dry-run", "-f", "t.yaml", folder=tmp_path, environ=environ(api))
    assert api.asked[0].body["validate_only"] is True
    assert done.stdout == 'teams/growth updated (dry run)\n    ~ display_name: "G" -> "Growth"\n'


def test_diff_is_1_with_differences_and_0_without(api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEAM)
    api.replies[APPLY] = [answer({**CREATED_KEY, "secret": ""}, UPDATED_TEAM), answer(UNCHANGED_TEAM)]
    different = run_tollctl("diff", "-f", "t.yaml", folder=tmp_path, environ=environ(api))
    assert different.returncode == 1
    assert different.stdout.splitlines() == [
        "+ teams/growth/keys/ci",
        '    + owner: "teams/growth"',
        "~ teams/growth",
        '    ~ display_name: "G" -> "Growth"',
    ]
    same = run_tollctl("diff", "-f", "t.yaml", folder=tmp_path, environ=environ(api))
    assert (same.returncode, same.stdout) == (0, "")
    assert all(asked.body["validate_only"] for asked in api.asked)


def test_secrets_go_to_a_new_private_file(api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "k.yaml").write_text(KEY)
    api.replies[APPLY] = answer(CREATED_KEY)
    done = run_tollctl("apply", "-f", "k.yaml", "--keys-out", "keys.json", folder=tmp_path, environ=environ(api))
    file = tmp_path / "keys.json"
    assert done.returncode == 0 and SECRET not in done.stdout + done.stderr
    assert json.loads(file.read_text()) == {"teams/growth/keys/ci": SECRET}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = run_tollctl("apply", "-f", "k.yaml", "--keys-out", "keys.json", folder=tmp_path, environ=environ(api))
    assert again.returncode == 1 and "not written over" in again.stderr
    assert len(api.asked) == 1, "nothing is applied when the file cannot be made"


def test_no_file_is_left_when_there_is_no_secret(api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEAM)
    api.replies[APPLY] = answer(UNCHANGED_TEAM)
    done = run_tollctl("apply", "-f", "t.yaml", "--keys-out", "keys.json", folder=tmp_path, environ=environ(api))
    assert done.returncode == 0 and not (tmp_path / "keys.json").exists()


def test_every_violation_names_its_document(api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEAM + "---\n" + KEY)
    violations = (
        ("manifests[0].spec.nmae", 'Team "growth": unknown field; Team has display_name, labels'),
        ("manifests[1]", "is given already at manifests[0]"),
        ("", "3 more violations are not listed"),
    )
    api.replies[APPLY] = Reply(error_body(400, "INVALID_ARGUMENT", "all of it", violations), 400)
    done = run_tollctl("apply", "-f", "t.yaml", folder=tmp_path, environ=environ(api))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: nothing was applied: 3 things are wrong",
        "  t.yaml, document 1, Team growth: spec.nmae: unknown field; Team has display_name, labels",
        "  t.yaml, document 2, VirtualKey ci: is given already at t.yaml, document 1, Team growth",
        "  3 more violations are not listed",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: [1", "t.yaml:1:6:"),
        ("", "nothing to apply: no manifest in t.yaml"),
        ("---\n---\n", "nothing to apply"),
        ("- 1", "a manifest is a mapping"),
        ("a: 1\na: 2", "t.yaml:2:1: the field 'a' is given twice"),
    ],
)
def test_bad_files_never_reach_the_server(api: ScriptedApi, tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "t.yaml").write_text(content)
    done = run_tollctl("apply", "-f", "t.yaml", folder=tmp_path, environ=environ(api))
    assert (done.returncode, api.asked) == (1, []) and expected in done.stderr


def test_missing_file_and_empty_folder(api: ScriptedApi, tmp_path: Path) -> None:
    missing = run_tollctl("apply", "-f", "gone.yaml", folder=tmp_path, environ=environ(api))
    assert missing.returncode == 1 and "cannot read gone.yaml" in missing.stderr
    empty = run_tollctl("apply", "-f", ".", folder=tmp_path, environ=environ(api))
    assert empty.returncode == 1 and "nothing to apply" in empty.stderr


def test_delete_by_name(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["DELETE /v1/teams/growth/keys/ci"] = Reply({})
    done = run_tollctl("delete", "key", "growth/ci", "other/x", folder=tmp_path, environ=environ(api))
    assert done.stdout == "teams/growth/keys/ci deleted\n"
    assert done.returncode == 1 and "error: /v1/teams/other/keys/x does not exist" in done.stderr


def test_delete_by_file_begins_with_what_refers_to_others(api: ScriptedApi, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEAM + "---\n" + KEY + "---\nkind: Route\nmetadata: {name: chat}\n")
    for path in ("teams/growth", "teams/growth/keys/ci", "routes/chat"):
        api.replies[f"DELETE /v1/{path}"] = Reply({})
    done = run_tollctl("delete", "-f", "t.yaml", "--ignore-not-found", folder=tmp_path, environ=environ(api))
    assert done.returncode == 0
    assert [asked.path for asked in api.asked] == ["/v1/teams/growth/keys/ci", "/v1/routes/chat", "/v1/teams/growth"]
    assert all(asked.query == {"allow_missing": "true"} for asked in api.asked)


@pytest.mark.parametrize(
    "arguments", [("growth", "ci"), ("growth/ci",), ("ci", "--team", "growth"), ("--team", "growth", "ci")]
)
def test_key_create_prints_the_secret_alone(api: ScriptedApi, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    api.replies["POST /v1/teams/growth/keys"] = Reply({"name": "teams/growth/keys/ci", "secret": SECRET})
    done = run_tollctl(
        *("key", "create", *arguments, "--allowed-model", "sim/*", "--allowed-model", "chat"),
        *("--expires", "2030-01-01", "--metadata", "env=prod", "--metadata", "note=a=b"),
        folder=tmp_path,
        environ=environ(api),
    )
    assert (done.returncode, done.stdout) == (0, SECRET + "\n"), done.stderr
    (asked,) = api.asked
    assert asked.query == {"key_id": "ci"}
    assert asked.body == {
        "allowed_models": ["sim/*", "chat"],
        "metadata": {"env": "prod", "note": "a=b"},
        "expire_time": "2030-01-01T00:00:00Z",
    }


def test_key_create_makes_up_a_name(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/teams/growth/keys"] = Reply({"name": "teams/growth/keys/key-1", "secret": SECRET})
    assert run_tollctl("key", "create", "--team", "growth", folder=tmp_path, environ=environ(api)).returncode == 0
    assert api.asked[0].query["key_id"].startswith("key-")


def test_key_rotate_and_revoke(api: ScriptedApi, tmp_path: Path) -> None:
    api.replies["POST /v1/teams/growth/keys/ci:rotate"] = Reply({"name": "teams/growth/keys/ci", "secret": SECRET})
    api.replies["POST /v1/teams/growth/keys/ci:revoke"] = Reply({"name": "teams/growth/keys/ci", "state": "revoked"})
    rotated = run_tollctl("key", "rotate", "growth/ci", "--overlap", "1h", folder=tmp_path, environ=environ(api))
    assert (rotated.returncode, rotated.stdout) == (0, SECRET + "\n")
    assert api.asked[0].body == {"overlap": "3600s"}
    revoked = run_tollctl("key", "revoke", "growth", "ci", folder=tmp_path, environ=environ(api))
    assert (revoked.returncode, revoked.stdout) == (0, "teams/growth/keys/ci revoked\n")
