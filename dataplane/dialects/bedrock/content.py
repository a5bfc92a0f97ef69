"""Content of OpenAI messages as Converse's content blocks."""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from dataplane.call import JsonObject
from dataplane.dialects.hub import malformed
from dataplane.errors import InvalidRequest

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_IMAGES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    f"{_OFFICE}wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "application/json": "txt",
}
_ENDINGS: Final = frozenset(("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"))
_UNTOLD: Final = frozenset(("", "application/octet-stream"))
_SOUNDS: Final = frozenset(("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "m4a", "webm"))
_OWN_BLOCKS: Final = frozenset(("cachePoint", "document", "guardContent", "image", "searchResult", "video"))
_SOURCED: Final = frozenset(("document", "image", "video"))
_SENT_SOURCES: Final = frozenset(("bytes", "text"))
_NOT_IN_NAME: Final = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+")
_SPACES: Final = re.compile(r"\s+")
_NAME_LENGTH: Final = 180
_FIRST_COPY: Final = 2
_TTLS: Final = frozenset(("5m", "1h"))


class Content:
    """Renders parts of one request: documents in it have names of their own.

    Markers of caches are cache points after what they mark, for models that `has_cache_points`, else nothing.
    """

    def __init__(self, has_cache_points: bool) -> None:
        self._has_cache_points = has_cache_points
        self._names: set[str] = set()
        self._next_copies: dict[str, int] = {}

    def blocks(self, content: Any, where: str) -> list[JsonObject]:
        """The blocks of a message's content, which is text, a list of parts or nothing; `where` names it in errors.

        Parts that are a block of Converse's own pass as they are, files only with what they hold. Blank text, which is
        refused, is left out. Raises InvalidRequest for parts that no block can say, and for malformed ones.
        """
        if content is None:
            return []
        if isinstance(content, str):
            return [{"text": content}] if content.strip() else []
        if not isinstance(content, list):
            raise malformed(where, "text or a list of parts")
        blocks: list[JsonObject] = []
        for at, part in enumerate(content):
            block = self._block(part, f"{where}[{at}]")
            if block is not None:
                blocks += [block, *self.cache_point(part)]
        return blocks

    def cache_point(self, marked: Any) -> list[JsonObject]:
        """The cache point that the `cache_control` of a part, message or tool asks for; none where there is none."""
        marker = marked.get("cache_control") if isinstance(marked, dict) else None
        if not self._has_cache_points or not isinstance(marker, dict):
            return []
        point = {"type": "default"}
        ttl = marker.get("ttl")
        if isinstance(ttl, str) and ttl in _TTLS:
            point["ttl"] = ttl
        return [{"cachePoint": point}]

    def _block(self, part: Any, where: str) -> JsonObject | None:
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        if not isinstance(part, dict):
            raise malformed(where, "an object with a type")
        kind = part.get("type")
        if kind is None and len(part) == 1 and not _OWN_BLOCKS.isdisjoint(part):
            _check_source(part, where)
            return part
        if kind in ("text", "refusal"):
            return _text(part.get(kind), f"{where}.{kind}")
        if kind == "image_url":
            return _image_url(part.get("image_url"), f"{where}.image_url")
        if kind == "file":
            return self._file(part.get("file"), f"{where}.file")
        if kind == "input_audio":
            return _audio(part.get("input_audio"), f"{where}.input_audio")
        raise unsupported(where, f"a part of type {str(kind)[:64]!r}", "Send text, images or documents.")

    def _file(self, file: Any, where: str) -> JsonObject:
        if not isinstance(file, dict):
            raise malformed(where, "an object with file_data")
        name = file["filename"] if isinstance(file.get("filename"), str) else ""
        data = file.get("file_data")
        if not isinstance(data, str) or not data:
            raise unsupported(
                where, "no file that can be read there", "Send the file itself as a data URI in file_data."
            )
        where = f"{where}.file_data"
        if _is_address(data):
            raise _fetched(where, "a file")
        media_type, encoded = _data_uri(data, where) if data.startswith("data:") else ("", _checked(data, where))
        ending = name.rpartition(".")[2].lower()
        if media_type in _UNTOLD and f"image/{ending}" in _IMAGES:
            media_type = f"image/{ending}"
        if media_type.startswith("image/"):
            return _image(media_type, encoded, where)
        form = _document_format(media_type, ending)
        if form is None:
            kind = (media_type or ending)[:64]
            raise unsupported(where, f"a file of type {kind!r}", "Send PDF, an Office document or text.")
        return {"document": {"format": form, "name": self._name(name), "source": {"bytes": encoded}}}

    def _name(self, filename: str) -> str:
        """A name for a document that is taken by no other one, in the characters that are taken."""
        stem = filename.rpartition(".")[0] or filename
        stem = _SPACES.sub(" ", _NOT_IN_NAME.sub(" ", stem)).strip()[:_NAME_LENGTH].rstrip() or "document"
        name, copy = stem, self._next_copies.get(stem, _FIRST_COPY)
        while name in self._names:
            name, copy = f"{stem} ({copy})", copy + 1
        self._next_copies[stem] = copy
        self._names.add(name)
        return name


def unsupported(where: str, what: str, instead: str) -> InvalidRequest:
    """The error that the provider cannot take `what`, and what to send instead."""
    return InvalidRequest(
        f'The field "{where}" holds {what}, which Bedrock does not take. {instead}',
        code="unsupported_content",
        param=where,
    )


def _text(text: Any, where: str) -> JsonObject | None:
    if not isinstance(text, str):
        raise malformed(where, "text")
    return {"text": text} if text.strip() else None


def _check_source(block: JsonObject, where: str) -> None:
    """Raises InvalidRequest for a file that is not in the request: it would be read with the gateway's identity."""
    for kind in _SOURCED & block.keys():
        value = block[kind]
        source = value.get("source") if isinstance(value, dict) else None
        if not isinstance(source, dict) or not source or not source.keys() <= _SENT_SOURCES:
            raise InvalidRequest(
                f'The field "{where}.{kind}.source" must hold the file itself: what is stored elsewhere would be read '
                "with an identity that is not yours. Send it in bytes, or its words in text.",
                code="unsupported_content",
                param=f"{where}.{kind}.source",
            )


def _image_url(image: Any, where: str) -> JsonObject:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise malformed(where, "an object with a url")
    if _is_address(url):
        raise _fetched(where, "an image")
    return _image(*_data_uri(url, where), where)


def _image(media_type: str, encoded: str, where: str) -> JsonObject:
    form = _IMAGES.get(media_type)
    if form is None:
        raise unsupported(where, f"an image of type {media_type[:64]!r}", "Send PNG, JPEG, GIF or WebP.")
    return {"image": {"format": form, "source": {"bytes": encoded}}}


def _audio(audio: Any, where: str) -> JsonObject:
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str) or not audio["data"]:
        raise malformed(where, "an object with data and format")
    form = audio.get("format")
    if not isinstance(form, str) or form not in _SOUNDS:
        raise unsupported(where, f"sound of format {str(form)[:64]!r}", "Send WAV or MP3.")
    return {"audio": {"format": form, "source": {"bytes": _checked(audio["data"], f"{where}.data")}}}


def _document_format(media_type: str, ending: str) -> str | None:
    """Bedrock's word for a document's format, by its media type or else by the ending of its name."""
    if media_type in _UNTOLD or (media_type == "text/plain" and ending in ("md", "csv")):
        return ending if ending in _ENDINGS else None
    return _DOCUMENTS.get(media_type) or ("txt" if media_type.startswith("text/") else None)


def _is_address(url: str) -> bool:
    return "://" in url[:16]


def _fetched(where: str, what: str) -> InvalidRequest:
    return unsupported(where, f"the address of {what}", "Send it itself, as a data URI.")


def _data_uri(uri: str, where: str) -> tuple[str, str]:
    """Media type and base64 text of a data URI (RFC 2397)."""
    head, comma, data = uri.partition(",")
    if not head.startswith("data:") or not comma or not data:
        raise malformed(where, "a data URI that holds something")
    media_type, *parameters = [text.strip() for text in head.removeprefix("data:").lower().split(";")]
    if "base64" not in parameters:
        return media_type or "text/plain", b64encode(unquote_to_bytes(data)).decode()
    return media_type or "text/plain", _checked(data, where)


def _checked(data: str, where: str) -> str:
    """`data`, padded to whole base64. Raises InvalidRequest when it is none, or empty."""
    data = "".join(data.split()) if any(space in data for space in " \r\n\t") else data
    data += "=" * (-len(data) % 4)
    try:
        if b64decode(data, validate=True):
            return data
    except (Base64Error, ValueError):
        pass
    raise malformed(where, "base64 of a file that is not empty")
