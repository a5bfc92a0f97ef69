"""What the command line refuses, each with the option to give."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
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
def test_it_says_what_is_missing(arguments: tuple[str, ...], told: str) -> None:
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    environment = {**os.environ, "TOLLWAY_ADMIN_TOKEN": ""}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert told in ended.stderr
