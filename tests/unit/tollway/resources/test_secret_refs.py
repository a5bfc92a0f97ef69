"""References to secrets, and what reading them says without showing them."""

import os
from pathlib import Path

import pytest

from tollway.resources.secret_refs import SecretUnavailable, read_secret, secret_ref_problem


def test_a_variable_and_a_file_are_read_without_surrounding_space(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(" sk-1\n")
    assert read_secret("env:KEY", {"KEY": "sk-2\n"}) == "sk-2"
    assert read_secret(f"file:{path}", {}) == "sk-1"


@pytest.mark.parametrize("ref", ["", "env:", "env:1A", "env:A-B", "file:", "file:x", "vault:x", "sk-123", "env:A\n"])
def test_other_forms_are_refused(ref: str) -> None:
    assert secret_ref_problem(ref) is not None
    with pytest.raises(SecretUnavailable):
        read_secret(ref, {"A": "x"})


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    empty, binary, big = tmp_path / "empty", tmp_path / "binary", tmp_path / "big"
    empty.touch()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    binary.write_bytes(b"\xff\xfe")
    big.write_bytes(b"x" * 70_000)
    for ref, says in (
        ("env:MISSING", "environment variable MISSING is not set"),
        (f"file:{tmp_path}/none", "cannot be read: No such file"),
        (f"file:{tmp_path}", "not a regular file"),
        (f"file:{pipe}", "not a regular file"),
        (f"file:{empty}", "is empty"),
        (f"file:{binary}", "is not UTF-8"),
        (f"file:{big}", "is longer than"),
    ):
        with pytest.raises(SecretUnavailable, match=says):
            read_secret(ref, {})
