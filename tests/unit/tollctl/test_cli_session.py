import json
from pathlib import Path

import pytest

from tollctl.errors import CommandError, Unreachable
from tollctl.session import Session
from tollctl.web import parse_address

STACK = {"admin_url": "http://127.0.0.1:8081", "admin_token": "twa_of-the-stack", "demo_key": "twk_of-the-stack"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    return tmp_path


@pytest.mark.parametrize(
    ("flag", "variable", "expected"),
    [
        ("http://flag:1", "http://env:2", "http://flag:1"),
        (None, "http://env:2", "http://env:2"),
        (None, None, "http://127.0.0.1:8081"),
    ],
)
def test_flags_win_over_the_environment_over_the_stack(
    data_dir: Path, flag: str | None, variable: str | None, expected: str
) -> None:
    environ = {"TOLLWAY_ADMIN_URL": variable} if variable else {}
    assert str(Session(server=flag, data_dir=data_dir, environ=environ).admin().address) == expected


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (Session(token="t", environ={"TOLLWAY_ADMIN_TOKEN": "e"}), "t"),
        (Session(environ={"TOLLWAY_ADMIN_TOKEN": "e\n"}), "e"),
        (Session(environ={}), "twa_of-the-stack"),
        (Session(server="http://127.0.0.1:8081/", environ={}), "twa_of-the-stack"),
        (Session(server="http://127.0.0.1:9", environ={}), ""),
    ],
)
def test_whose_token_is_sent(data_dir: Path, session: Session, expected: str) -> None:
    found = Session(session.server, session.token, data_dir, environ=session.environ).admin()
    assert found.token == expected


def test_secrets_stay_out_of_repr(data_dir: Path) -> None:
    session = Session(token="twa_given", data_dir=data_dir, environ={"TOLLWAY_ADMIN_TOKEN": "twa_env"})
    shown = repr((session, session.admin(), session.stack()))
    assert "twa_" not in shown and "twk_" not in shown


def test_no_server_anywhere(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="tollctl up"):
        Session(data_dir=tmp_path, environ={}).admin()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_broken_stack_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    with pytest.raises(CommandError, match=r"stack\.json"):
        Session(data_dir=tmp_path, environ={}).admin()


@pytest.mark.parametrize("token", ["twa_a\nb", "twa_ä", "twa_a b"])
def test_tokens_that_no_header_can_hold(tmp_path: Path, token: str) -> None:
    with pytest.raises(CommandError, match="token") as caught:
        Session(server="http://a", token=token, data_dir=tmp_path, environ={}).admin()
    assert "twa_" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown", "is_open_wire"),
    [
        ("http://127.0.0.1:8081/", "http://127.0.0.1:8081", False),
        ("http://localhost", "http://localhost:80", False),
        ("https://tollway.example/admin/", "https://tollway.example:443/admin", False),
        ("http://tollway.example:81", "http://tollway.example:81", True),
        ("http://[::1]:8081", "http://[::1]:8081", False),
    ],
)
def test_addresses(url: str, shown: str, is_open_wire: bool) -> None:
    address = parse_address(url, "--server")
    assert (str(address), address.is_open_wire) == (shown, is_open_wire)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8081", "ftp://a", "http://", "http://a:b", "http://u:p@a", "http://a?b", "http://a/ b", "http://[::1"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(CommandError, match="--server"):
        parse_address(url, "--server")
