"""Content of OpenAI messages as Anthropic's content blocks."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from dataplane.call import JsonObject
from dataplane.dialects.hub import malformed
from dataplane.errors import InvalidRequest

_IMAGE_TYPES: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_PDF: Final = "application/pdf"
_WEB: Final = ("http://", "https://")
_OWN_BLOCKS: Final = ("image", "document", "search_result", "container_upload")
_OWN_FILE_ID: Final = "file_"


def content_blocks(content: Any, where: str) -> list[JsonObject]:
    """The blocks of a message's content, which is text, a list of parts or nothing; `where` names it in errors.

    Blocks of Anthropic's own kinds pass as they are. Empty text, which is refused, is left out. Raises InvalidRequest
    for parts that no block can say, and for malformed ones.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    if not isinstance(content, list):
        raise malformed(where, "text or a list of parts")
    blocks = [_block(part, f"{where}[{at}]") for at, part in enumerate(content)]
    return [block for block in blocks if block is not None]


def unsupported(where: str, what: str, instead: str) -> InvalidRequest:
    """The error that the provider cannot take `what`, and what to send instead."""
    return InvalidRequest(
        f'The field "{where}" holds {what}, which Claude models do not take. {instead}',
        code="unsupported_content",
        param=where,
    )


def _block(part: Any, where: str) -> JsonObject | None:
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise malformed(where, "an object with a type")
    kind = part.get("type")
    if kind in _OWN_BLOCKS:
        return part
    if kind in ("text", "refusal"):
        block = _text(part.get(kind), f"{where}.{kind}")
    elif kind == "image_url":
        block = _image(part.get("image_url"), f"{where}.image_url")
    elif kind == "file":
        block = _file(part.get("file"), f"{where}.file")
    elif kind == "input_audio":
        raise unsupported(where, "audio", "Send a transcript, or call a model that hears.")
    else:
        raise unsupported(where, f"a part of type {str(kind)[:64]!r}", "Send text, images or documents.")
    if block is not None and part.get("cache_control") is not None:
        block["cache_control"] = part["cache_control"]
    return block


def _text(text: Any, where: str) -> JsonObject | None:
    if not isinstance(text, str):
        raise malformed(where, "text")
    return {"type": "text", "text": text} if text.strip() else None


def _image(image: Any, where: str) -> JsonObject:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise malformed(where, "an object with a url")
    if url.startswith(_WEB):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data_uri(url, where)
    return _inline_image(media_type, data, where)


def _inline_image(media_type: str, data: str, where: str) -> JsonObject:
    if media_type == "image/jpg":
        media_type = "image/jpeg"
    if media_type not in _IMAGE_TYPES:
        raise unsupported(where, f"an image of type {media_type[:64]!r}", "Send JPEG, PNG, GIF or WebP.")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _file(file: Any, where: str) -> JsonObject:
    if not isinstance(file, dict):
        raise malformed(where, "an object with file_data")
    name, data = file.get("filename"), file.get("file_data") or file.get("file_url")
    if isinstance(data, str) and data:
        block = _document(data, name, f"{where}.file_data")
    elif isinstance(file_id := file.get("file_id"), str) and file_id.startswith(_OWN_FILE_ID):
        block = {"type": "document", "source": {"type": "file", "file_id": file_id}}
    else:
        raise unsupported(where, "no file that can be read there", "Send the file itself as a data URI in file_data.")
    if isinstance(name, str) and name and block["type"] == "document":
        block["title"] = name
    return block


def _document(data: str, name: Any, where: str) -> JsonObject:
    if data.startswith(_WEB):
        return {"type": "document", "source": {"type": "url", "url": data}}
    if not data.startswith("data:") and isinstance(name, str) and name.lower().endswith(".pdf"):
        data = f"data:{_PDF};base64,{data}"
    media_type, encoded = _data_uri(data, where)
    if media_type == _PDF:
        return {"type": "document", "source": {"type": "base64", "media_type": _PDF, "data": encoded}}
    if media_type.startswith("image/"):
        return _inline_image(media_type, encoded, where)
    if media_type.startswith("text/") or media_type == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _decoded_text(encoded, where)}
        return {"type": "document", "source": source}
    raise unsupported(where, f"a file of type {media_type[:64]!r}", "Send PDF, text or an image.")


def _data_uri(uri: str, where: str) -> tuple[str, str]:
    """Media type and base64 text of a data URI (RFC 2397)."""
    head, comma, data = uri.partition(",")
    if not head.startswith("data:") or not comma or not data:
        raise malformed(where, "an https:// URL or a data URI that holds something")
    media_type, *parameters = head.removeprefix("data:").lower().split(";")
    if "base64" not in parameters:
        data = b64encode(unquote_to_bytes(data)).decode()
    return media_type.strip() or "text/plain", data


def _decoded_text(data: str, where: str) -> str:
    try:
        return b64decode(data).decode()
    except (Base64Error, ValueError) as error:
        raise malformed(where, "base64 of UTF-8 text") from error
