"""The local stack without its processes: files, credentials, environments, manifests, what is printed and written."""

import asyncio
import io
import json
import os
import stat
from pathlib import Path

import pytest

from tollctl.local.banner import render_banner, render_curl
from tollctl.local.blueprint import Blueprint, describe_store
from tollctl.local.console import Console
from tollctl.local.credentials import Credentials, load_credentials
from tollctl.local.datadir import lock_data_dir
from tollctl.local.demo import make_demo_documents
from tollctl.local.environment import narrow, widen
from tollctl.local.errors import DataDirBusy, LocalError
from tollctl.local.external import check_database_url
from tollctl.local.files import read_or_create_private, write_private
from tollctl.local.logs import follow_log, is_loud, quote_last_line
from tollctl.local.options import UpOptions
from tollctl.local.portplan import Ports
from tollctl.local.process import Command
from tollctl.local.stackfile import remove_stack, render_stack, write_stack
from tollctl.local.supervisor import describe_exit
from tollctl.stack import read_stack
from tollway.kernel.keys import is_virtual_key

SECRETS = Credentials("the-encryption", "the-pepper", "the-plane", "twa_admin", "twk_demo")


def blueprint(data_dir: Path, *, sim_port: int = 7) -> Blueprint:
    return Blueprint(
        data_dir=data_dir,
        ports=Ports(1, 2, 3, 4, 5, 6, sim_port),
        credentials=SECRETS,
        database_url="postgresql://me:hidden@db.test:5432/tollway",
        nats_url="nats://me:hidden@127.0.0.1:4222",
        services=(),
        migration=Command(("migrate",), {"TOLLWAY_DATABASE_URL": "hidden"}, data_dir),
    )


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_replaced_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "one")
    write_private(path, "two")
    assert (path.read_text(), mode_of(path)) == ("two", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_kept_wins_over_what_is_fresh(tmp_path: Path) -> None:
    assert read_or_create_private(tmp_path / "kept", "first") == "first"
    assert read_or_create_private(tmp_path / "kept", "second") == "first"


def test_credentials_are_made_once_and_not_shown(tmp_path: Path) -> None:
    made = load_credentials(tmp_path)
    assert load_credentials(tmp_path) == made
    assert mode_of(tmp_path / "secrets.json") == 0o600
    assert is_virtual_key(made.demo_key)
    assert made.admin_token.startswith("twa_")
    assert repr(made) == "Credentials()"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"admin_token": "twa_x"}'])
def test_damaged_credentials_are_told_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(LocalError, match=r"secrets\.json is damaged"):
        load_credentials(tmp_path)
    assert (tmp_path / "secrets.json").read_text() == text


def test_a_data_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with lock_data_dir(tmp_path / "state") as folder:
        assert mode_of(folder) == 0o700
        assert (folder / ".gitignore").read_text() == "*\n"
        with pytest.raises(DataDirBusy, match=rf"process {os.getpid()}"), lock_data_dir(folder):
            pass
    with lock_data_dir(tmp_path / "state"):
        pass


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="choose another --data-dir"), lock_data_dir(tmp_path / "file" / "state"):
        pass


def test_only_planes_that_look_up_references_see_the_user_s_environment() -> None:
    user = {"PATH": "/bin", "MY_KEY": "secret", "OTEL_SERVICE_NAME": "x", "TOLLWAY_TLS_CERT": "/other", "HOME": "/h"}
    wide = widen(user, {"TOLLWAY_LISTEN": "127.0.0.1:1"})
    assert wide["MY_KEY"] == "secret"
    assert wide["TOLLWAY_LISTEN"] == "127.0.0.1:1"
    assert "TOLLWAY_TLS_CERT" not in wide
    assert "MY_KEY" not in widen(user, {}, frozenset({"MY_KEY"}))
    tight = narrow(user, {"TOLLWAY_LISTEN": "127.0.0.1:1"})
    assert {"PATH", "HOME", "OTEL_SERVICE_NAME", "TOLLWAY_LISTEN"} <= tight.keys()
    assert not {"MY_KEY", "TOLLWAY_TLS_CERT"} & tight.keys()


def test_secrets_stay_out_of_repr(tmp_path: Path) -> None:
    shown = repr(blueprint(tmp_path)) + repr(UpOptions(database_url="postgresql://a:hidden@b/c", nats_url="hidden"))
    assert "hidden" not in shown
    assert "twa_admin" not in shown


def test_the_demo_holds_no_secret_and_lists_what_can_be_listed() -> None:
    team, key, sim = make_demo_documents("http://127.0.0.1:7", {})
    assert (team.kind, key.kind, sim.kind) == ("Team", "VirtualKey", "Upstream")
    assert key.content["metadata"] == {"name": "demo", "team": "demo"}
    assert key.content["spec"] == {"secret": {"ref": "env:TOLLWAY_DEMO_KEY"}}
    assert sim.content["spec"]["base_url"] == "http://127.0.0.1:7/v1"
    assert {"echo", "lorem-*"} <= set(sim.content["spec"]["models"])


def test_a_provider_whose_key_is_there_is_an_upstream() -> None:
    documents = make_demo_documents("http://127.0.0.1:7", {"OPENAI_API_KEY": "sk-secret"})
    assert documents[-1].content["metadata"] == {"name": "openai"}
    assert documents[-1].content["spec"] == {"provider": "openai", "secret": {"ref": "env:OPENAI_API_KEY"}}
    assert "sk-secret" not in str([document.content for document in documents])


def test_the_stack_file_says_all_and_is_private(tmp_path: Path) -> None:
    write_stack(blueprint(tmp_path))
    content = json.loads((tmp_path / "stack.json").read_text())
    assert mode_of(tmp_path / "stack.json") == 0o600
    assert content == {
        "openai_base_url": "http://127.0.0.1:1/v1",
        "admin_url": "http://127.0.0.1:2",
        "grpc_address": "127.0.0.1:3",
        "metrics_urls": {
            "dataplane": "http://127.0.0.1:4/metrics",
            "controlplane": "http://127.0.0.1:5/metrics",
            "consumer": "http://127.0.0.1:6/metrics",
        },
        "database_url": "postgresql://me:hidden@db.test:5432/tollway",
        "nats_url": "nats://me:hidden@127.0.0.1:4222",
        "sim_url": "http://127.0.0.1:7",
        "admin_token": "twa_admin",
        "plane_token": "the-plane",
        "demo_key": "twk_demo",
        "pids": dict.fromkeys(("dataplane", "controlplane", "consumer", "sim", "postgres", "nats")),
    }
    stack = read_stack(tmp_path)
    assert stack is not None and stack.admin_token == "twa_admin"
    remove_stack(tmp_path)
    assert read_stack(tmp_path) is None


def test_without_a_demo_there_is_no_key_to_tell(tmp_path: Path) -> None:
    content = render_stack(blueprint(tmp_path, sim_port=0))
    assert content["sim_url"] is None
    assert content["demo_key"] is None


def test_the_banner_ends_with_a_curl_and_the_line_that_all_is_up(tmp_path: Path) -> None:
    banner = render_banner(blueprint(tmp_path), {"OPENAI_API_KEY": "sk-secret"})
    lines = banner.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("curl "))
    curl = lines[first : first + 4]
    assert [line.endswith("\\") for line in curl] == [True, True, True, False]
    assert "Bearer twk_demo" in curl[1]
    assert '"model": "sim/echo"' in curl[3]
    assert lines[-1] == "tollway is up"
    for secret in ("hidden", "sk-secret", "twa_admin", "the-plane"):
        assert secret not in banner
    assert "db.test:5432/tollway" in banner


def test_without_a_demo_the_curl_asks_for_health(tmp_path: Path) -> None:
    assert render_curl(blueprint(tmp_path, sim_port=0)) == "curl http://127.0.0.1:1/livez"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p@h:1/d?sslmode=require&password=x", "h:1/d"),
        ("nats://u:p%40@h:1", "h:1"),
        ("nats://h:1", "h:1"),
    ],
)
def test_a_store_is_told_without_its_password(url: str, place: str) -> None:
    assert describe_store(url, is_embedded=False) == place


@pytest.mark.parametrize("url", ["", "mysql://h/d", "postgresql:///d", "h:5432", "postgresql://h:x/d"])
def test_a_url_of_something_else_is_told_with_its_flag(url: str) -> None:
    with pytest.raises(LocalError, match="--database-url"):
        check_database_url(url)


def test_lines_go_out_in_order_with_their_names_and_no_controls() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.say("starting")
    console.relay("sim", "\x1b[31mred\x07")
    console.close()
    assert stream.getvalue() == "starting\nsim          | ?[31mred?\n"


def test_a_terminal_gets_colours() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    console = Console(stream)
    console.relay("sim", "line")
    console.relay("nats", "line")
    console.close()
    colours = [line.partition("m")[0] for line in stream.getvalue().splitlines()]
    assert len(set(colours)) == 2
    assert all(colour.startswith("\x1b[") for colour in colours)


def test_the_last_line_of_a_log_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert quote_last_line(log) == f"it wrote nothing (see {log})"
    log.write_text("first\n" + "x" * 20_000 + "\nTOLLWAY_LISTEN: is wrong\n\n")
    assert quote_last_line(log) == f"TOLLWAY_LISTEN: is wrong (see {log})"


@pytest.mark.parametrize(
    ("line", "loud"),
    [
        ("[1] 2026/01/01 00:00:00.000000 [INF] Server is ready", False),
        ("[1] 2026/01/01 00:00:00.000000 [WRN] slow", True),
        ("2026-01-01 00:00:00 UTC [1] LOG:  checkpoint complete", False),
        ("2026-01-01 00:00:00 UTC [1] FATAL:  no", True),
    ],
)
def test_of_servers_only_warnings_are_loud(line: str, loud: bool) -> None:
    assert is_loud(line) is loud


async def test_a_log_is_followed_from_its_end_line_by_line(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("old\n")
    lines: list[str] = []
    done = asyncio.Event()

    def emit(line: str) -> None:
        lines.append(line)
        if line == "last":
            done.set()

    following = asyncio.create_task(follow_log(log, emit))
    await asyncio.sleep(0)
    with log.open("a") as file:
        file.write("whole\nha")
        file.flush()
        file.write("lf\nlast\n")
    try:
        await asyncio.wait_for(done.wait(), 5)
    finally:
        following.cancel()
    assert lines == ["whole", "half", "last"]


@pytest.mark.parametrize(("code", "words"), [(0, "with exit code 0"), (-9, "by signal 9")])
def test_an_exit_is_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
