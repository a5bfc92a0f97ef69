"""What a client may say about a call besides its body: labels and limits in x-tollway-* headers."""

import unicodedata

import orjson

from dataplane.errors import InvalidRequest

MAX_METADATA_PAIRS = 16
MAX_METADATA_CHARACTERS = 128
MAX_USER_CHARACTERS = 128
_NOT_TEXT = frozenset(("Cc", "Cs"))
_NO_TEXT = "must be UTF-8 without control characters"


def parse_metadata(header: str | None) -> dict[str, str]:
    """`x-tollway-metadata`: a JSON object of strings. Raises InvalidRequest for anything else."""
    if header is None:
        return {}
    try:
        metadata = orjson.loads(header)
    except orjson.JSONDecodeError:
        metadata = None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _invalid("x-tollway-metadata", "must be a JSON object whose values are strings")
    if len(metadata) > MAX_METADATA_PAIRS:
        raise _invalid("x-tollway-metadata", f"must have at most {MAX_METADATA_PAIRS} pairs")
    texts = [text for pair in metadata.items() for text in pair]
    if any(len(text) > MAX_METADATA_CHARACTERS for text in texts):
        raise _invalid("x-tollway-metadata", f"must have texts of at most {MAX_METADATA_CHARACTERS} characters")
    if not all(map(_is_text, texts)):
        raise _invalid("x-tollway-metadata", _NO_TEXT)
    return metadata


def parse_user(header: str | None) -> str:
    """`x-tollway-user`, "" when absent; bytes that are no UTF-8 are replaced. Raises InvalidRequest."""
    if header is None:
        return ""
    header = header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(header) > MAX_USER_CHARACTERS:
        raise _invalid("x-tollway-user", f"must have at most {MAX_USER_CHARACTERS} characters")
    if not _is_text(header):
        raise _invalid("x-tollway-user", _NO_TEXT)
    return header


def parse_timeout_s(header: str | None) -> float | None:
    """`x-tollway-timeout-ms` in seconds, None when absent. Raises InvalidRequest unless it is a whole number > 0."""
    if header is None:
        return None
    if not header.isdecimal() or not header.isascii() or not 0 < len(header) < 10 or int(header) == 0:
        raise _invalid("x-tollway-timeout-ms", "must be a whole number of milliseconds above 0")
    return int(header) / 1000


def _is_text(text: str) -> bool:
    """Whether it has neither control characters nor bytes that are no UTF-8, which ledger and counters cannot hold."""
    return text.isprintable() or not any(unicodedata.category(character) in _NOT_TEXT for character in text)


def _invalid(name: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f'The header "{name}" {problem}.', code="invalid_header", param=name)
