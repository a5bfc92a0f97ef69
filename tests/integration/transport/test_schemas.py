"""buf and protoc on the committed schemas, and on schemas that break them."""

from pathlib import Path

import pytest

from tests import schema_check


def test_the_committed_schemas_have_no_finding() -> None:
    assert list(schema_check.findings()) == []


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """teams.proto of a copy of all schemas, which the check then reads."""
    for source in schema_check.proto_files():
        target = tmp_path / source.relative_to(schema_check.PROTO)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    monkeypatch.setattr(schema_check, "PROTO", tmp_path)
    return tmp_path / "tollway/admin/v1/teams.proto"


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        ("string display_name = 2;", "int32 display_name = 2;", 'changed type from "string" to "int32"'),
        ("string display_name = 2;", "string display_title = 2;", "display_name"),
        ("string display_name = 2;", "string display_name = 2;\n  string BadName = 99;", "bad_name"),
        ("// Team owns keys and spend.\n", "", "comment"),
    ],
)
def test_breaking_and_ugly_changes_are_found(changed: Path, before: str, after: str, finding: str) -> None:
    text = changed.read_text()
    assert before in text
    changed.write_text(text.replace(before, after, 1))
    assert [line for line in schema_check.findings() if "teams.proto" in line and finding in line]


def test_schemas_that_protoc_refuses_are_an_error(changed: Path) -> None:
    changed.write_text("nonsense")
    with pytest.raises(schema_check.SchemaError, match=r"teams\.proto"):
        list(schema_check.findings())
