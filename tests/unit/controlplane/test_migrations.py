"""Finding the head revision without alembic."""

from pathlib import Path

import pytest

from controlplane.migrations import head_revision, migrations_folder


def write(folder: Path, revision: str, down: str | None) -> None:
    (folder / "versions").mkdir(exist_ok=True)
    text = f'revision = "{revision}"\ndown_revision = {f"{chr(34)}{down}{chr(34)}" if down else "None"}\n'
    (folder / "versions" / f"{revision}_x.py").write_text(text)


def test_the_head_is_what_nothing_follows(tmp_path: Path) -> None:
    write(tmp_path, "0001", None)
    write(tmp_path, "0002", "0001")
    write(tmp_path, "0003", "0002")
    assert head_revision(tmp_path) == "0003"


def test_two_heads_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "0001", None)
    write(tmp_path, "0002", None)
    with pytest.raises(ValueError, match="not one revision"):
        head_revision(tmp_path)


def test_the_own_migrations_end_in_one_head() -> None:
    names = sorted(path.name for path in (migrations_folder() / "versions").glob("[0-9]*.py"))
    assert names[-1].startswith(f"{head_revision()}_")
