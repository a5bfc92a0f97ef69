"""Manifest files: YAML with any number of documents, from files, folders and stdin.

What the documents must hold is the control plane's to say; here a document is a mapping, and text stays text: an
unquoted time is not turned into anything else.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from tollctl.errors import CommandError

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json")
_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
_MAX_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """One manifest and where it stands, e.g. "teams.yaml, document 2"."""

    origin: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        kind = self.content.get("kind")
        return kind if isinstance(kind, str) else ""

    @property
    def title(self) -> str:
        """Origin and, as far as they can be told, kind and name: "teams.yaml, document 2, Team growth"."""
        metadata = self.content.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        about = " ".join(part for part in (self.kind, name) if isinstance(part, str) and part)
        return f"{self.origin}, {about}" if about else self.origin


def read_documents(sources: Iterable[str], stdin: TextIO) -> list[Document]:
    """All documents of files, folders (their *.yaml, *.yml and *.json files, by name) and `-`, which is stdin.

    Raises CommandError, with file and line, for what cannot be read and where there is no document at all.
    """
    sources = list(sources)
    documents = [document for source in sources for document in _read_source(source, stdin)]
    if not documents:
        raise CommandError(f"nothing to apply: no manifest in {', '.join(sources)}")
    return documents


def _read_source(source: str, stdin: TextIO) -> Iterator[Document]:
    if source == STDIN:
        yield from parse_documents(_read_stdin(stdin), "stdin")
        return
    path = Path(source)
    for file in _list_folder(path) if path.is_dir() else (path,):
        yield from parse_documents(_read_text(file), str(file))


def _list_folder(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    except OSError as error:
        raise CommandError(f"cannot read {folder}: {error.strerror}") from None
    if not found:
        raise CommandError(f"nothing to apply: the folder {folder} holds no *.yaml, *.yml or *.json file")
    return found


def _read_stdin(stdin: TextIO) -> str:
    try:
        return stdin.read()
    except UnicodeDecodeError as error:
        raise CommandError(f"stdin is not UTF-8 text (byte {error.start})") from None


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 text (byte {error.start})") from None


def parse_documents(text: str, origin: str) -> Iterator[Document]:
    """The documents in text; empty ones are passed over. Raises CommandError with the line of what is wrong."""
    try:
        contents = list(yaml.load_all(text, Loader=_ManifestLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark is not None else origin
        raise CommandError(f"{where}: {error.problem or error.context or 'not YAML'}") from None
    except yaml.YAMLError as error:
        raise CommandError(f"{origin}: not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise CommandError(f"{origin}: nested too deeply") from None
    for number, content in enumerate(contents, start=1):
        if content is not None:
            yield _check_document(content, origin if len(contents) == 1 else f"{origin}, document {number}")


def _check_document(content: object, origin: str) -> Document:
    if not isinstance(content, dict):
        raise CommandError(f"{origin}: a manifest is a mapping with apiVersion, kind, metadata and spec")
    try:
        _count_values(content, {})
        json.dumps(content, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CommandError(f"{origin}: cannot be written as JSON: {reason}") from None
    return Document(origin, content)


def _count_values(node: object, counted: dict[int, int]) -> int:
    """How many values node stands for with its aliases written out. Raises ValueError for too many and for cycles."""
    if not isinstance(node, dict | list):
        return 1
    if (count := counted.get(id(node))) is not None:
        if not count:
            raise ValueError("an alias refers to what it stands in")
        return count
    counted[id(node)] = 0
    children = node.values() if isinstance(node, dict) else node
    total = 1 + sum(_count_values(child, counted) for child in children)
    if total > _MAX_VALUES:
        raise ValueError(f"more than {_MAX_VALUES} values")
    counted[id(node)] = total
    return total


class _ManifestLoader(yaml.SafeLoader):
    """Safe YAML with text keys, each once, and without a type for times."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == _MERGE_TAG:
                continue
            if key.tag != _TEXT_TAG:
                raise yaml.composer.ComposerError(problem=_describe_key(key), problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"the field {key.value!r} is given twice"
                raise yaml.composer.ComposerError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return node


def _describe_key(key: yaml.Node) -> str:
    if isinstance(key, yaml.ScalarNode):
        return f"the field name {key.value} is no text; put it in quotes"
    return "a field name must be text"
