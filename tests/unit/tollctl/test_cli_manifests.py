import io
from pathlib import Path

import pytest

from tollctl.errors import CommandError, Refused, Violation
from tollctl.manifests import Document, parse_documents, read_documents


def parse(text: str) -> list[Document]:
    return list(parse_documents(text, "f.yaml"))


def test_documents_know_where_they_stand() -> None:
    documents = parse("kind: Team\nmetadata: {name: a}\n---\n---\nkind: Price\n")
    assert [document.origin for document in documents] == ["f.yaml, document 1", "f.yaml, document 3"]
    assert [document.title for document in documents] == ["f.yaml, document 1, Team a", "f.yaml, document 3, Price"]
    assert parse("kind: 1")[0].title == "f.yaml"


def test_times_stay_text() -> None:
    (document,) = parse("a: 2030-01-01T00:00:00Z\nb: 2030-01-01\nc: 60s\nd: 1\ne: true")
    assert document.content == {"a": "2030-01-01T00:00:00Z", "b": "2030-01-01", "c": "60s", "d": 1, "e": True}


def test_anchors_and_merges() -> None:
    (document,) = parse("base: &base {x: 1, y: 2}\nnext: &next {<<: *base, x: 3}\nlast: {<<: *next, x: 4}")
    assert document.content["last"] == {"x": 4, "y": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "f.yaml:1:6: "),
        ("a: 1\n\tb: 2", "f.yaml:2:1: "),
        ("a:\n  b: 1\n  b: 2", "f.yaml:3:3: the field 'b' is given twice"),
        ("on: 1", "f.yaml:1:1: the field name on is no text; put it in quotes"),
        ("? [a]\n: 1", "a field name must be text"),
        ("text", "a manifest is a mapping"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: .inf", "cannot be written as JSON"),
        ("a: &a [*a]", "an alias refers to what it stands in"),
        ("a: \x01", "not YAML"),
        ("[\n" * 20_000, "nested too deeply"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_few_lines_cannot_stand_for_a_billion_values() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(CommandError, match="more than 1000000 values"):
        parse("\n".join(lines))


def test_folders_are_read_by_name_and_stdin_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("kind: B")
    (tmp_path / "a.json").write_text('\N{BYTE ORDER MARK}{"kind": "A"}', encoding="utf-8")
    (tmp_path / "c.txt").write_text("kind: [")
    (tmp_path / "d.yaml").mkdir()
    documents = read_documents(["-", str(tmp_path)], io.StringIO("kind: C"))
    assert [document.kind for document in documents] == ["C", "A", "B"]


@pytest.mark.parametrize("content", [b"", b"---\n---\n", b"# only a remark\n", b"\xff\xfe\xfa"])
def test_files_without_a_manifest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.yaml").write_bytes(content)
    with pytest.raises(CommandError, match=r"nothing to apply|is not UTF-8 text"):
        read_documents([str(tmp_path / "f.yaml")], io.StringIO())


def test_refusals_list_every_violation() -> None:
    refused = Refused(400, "the request is not valid", (Violation("a.b", "is wrong"), Violation("", "and more")))
    assert str(refused) == "the request is not valid\n  a.b: is wrong\n  and more"
