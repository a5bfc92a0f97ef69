"""Manifests in files: the YAML documents of one file or of a folder's files, and what each is called in messages."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tollway.resources.violations import Violation

_SUFFIXES = frozenset({".yaml", ".yml"})
_MANIFEST = re.compile(r"manifests\[(?P<index>\d+)\](?P<dot>\.?)")
_SHOWN_PROBLEMS = 5
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigFileError(Exception):
    """The manifests cannot be served; the message is one line that says what is wrong where."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document; `place` is its file and number, as messages say it."""

    place: str
    content: object


def manifest_files(path: Path) -> list[Path]:
    """`path` itself, or the .yaml and .yml files of a folder in order of name. Raises ConfigFileError."""
    try:
        if not path.is_dir():
            return [path]
        files = sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES and f.name[0] != "." and f.is_file())
    except OSError as error:
        raise ConfigFileError(f"{path} cannot be read: {error.strerror}") from None
    if not files:
        raise ConfigFileError(f"the folder {path} holds no .yaml or .yml file")
    return files


def read_documents(files: Iterable[Path]) -> list[Document]:
    """All documents of `files` but empty ones. Raises ConfigFileError."""
    return [document for file in files for document in _documents_of(file)]


def _documents_of(file: Path) -> list[Document]:
    try:
        contents = list(yaml.load_all(file.read_text("utf-8"), _LOADER))
    except OSError as error:
        raise ConfigFileError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigFileError(f"{file} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ConfigFileError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    numbered = enumerate(contents, start=1)
    return [Document(f"{file} document {number}", content) for number, content in numbered if content is not None]


def problem_lines(violations: Iterable[Violation], documents: Sequence[Document]) -> list[str]:
    """A line for each violation, with the document's place instead of its index."""

    def placed(match: re.Match[str]) -> str:
        return documents[int(match["index"])].place + (": " if match["dot"] else "")

    return [_MANIFEST.sub(placed, str(violation)) for violation in violations]


def config_file_error(problems: Sequence[str]) -> ConfigFileError:
    """One line of the first few of `problems`."""
    more = len(problems) - _SHOWN_PROBLEMS
    shown = "; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    return ConfigFileError(" ".join(shown.split()))
