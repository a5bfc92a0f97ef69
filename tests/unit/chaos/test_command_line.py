"""What the command line refuses, each with the option to give."""

import sys

import pytest

from tests.chaos.__main__ import main

GIVEN = ("--base-url", "http://127.0.0.1:9", "--truth-log", __file__)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--base-url", "http://127.0.0.1:9"), "--truth-log"),
        (GIVEN, "--team, --key, --admin-url, --token"),
        (
            (*GIVEN, "--team", "t", "--key", "k", "--admin-url", "http://127.0.0.1:9", "--token", "x", "--fault", "x"),
            "NAME=COMMAND",
        ),
        (("--stack", "nowhere", "--truth-log", __file__), "tollctl up --data-dir nowhere"),
        (("--scenario", "T99"), "T15"),
    ],
)
def test_it_says_what_is_missing(
    arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tests.chaos", *arguments])
    monkeypatch.setenv("TOLLWAY_ADMIN_TOKEN", "")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
