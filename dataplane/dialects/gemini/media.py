"""Files in a conversation: inside the request as base64, or by an address that Gemini fetches itself."""

import base64
from posixpath import splitext
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from dataplane.call import JsonObject
from dataplane.errors import InvalidRequest

PDF: Final = "application/pdf"
_UNKNOWN_TYPES = frozenset(("", "application/octet-stream", "binary/octet-stream"))
_SCHEMES = ("https://", "http://", "gs://")
_BUCKETS: Final = "gs://"
_OWN_HOST: Final = "generativelanguage.googleapis.com"
_ALIASES = {"image/jpg": "image/jpeg"}
_TYPES = {
    ".aac": "audio/aac",
    ".aiff": "audio/aiff",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".c": "text/plain",
    ".css": "text/css",
    ".csv": "text/csv",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".htm": "text/html",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".m4a": "audio/m4a",
    ".md": "text/markdown",
    ".mov": "video/quicktime",
    ".mp3": "audio/mp3",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".ogg": "audio/ogg",
    ".pdf": PDF,
    ".png": "image/png",
    ".py": "text/x-python",
    ".rtf": "text/rtf",
    ".txt": "text/plain",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".wmv": "video/wmv",
    ".xml": "text/xml",
}


def guess_type(path: str, default: str) -> str:
    """The media type that the end of a path or file name tells, else `default`."""
    return _TYPES.get(splitext(path)[1].lower(), default)


def render_file(url: str, default_type: str, param: str) -> JsonObject:
    """The part for a data URI, or for the address of a file; `default_type` is for one that tells no type.

    Raises InvalidRequest, with `param`, for any other text, and for files that are stored at Google: they would be read
    with the identity of the gateway, which may read more than the client may.
    """
    if url[:5].lower() == "data:":
        return _inline(url, default_type, param)
    if not url.startswith(_SCHEMES):
        raise InvalidRequest(
            f'"{param}" must be a data URI, or an address that begins with https://.',
            code="invalid_value",
            param=param,
        )
    host, path = _host_and_path(url, param)
    if url.startswith(_BUCKETS) or host == _OWN_HOST:
        raise InvalidRequest(
            f'"{param}" is a file that is stored at Google, which would be read with an identity that is not yours. '
            "Send the file itself as a data URI, or a public address.",
            code="unsupported_content",
            param=param,
        )
    return {"fileData": {"mimeType": guess_type(path, default_type), "fileUri": url}}


def is_address(text: str) -> bool:
    """Whether `text` is a data URI or an address, be it one that is refused."""
    return text[:5].lower() == "data:" or text.startswith(_SCHEMES)


def inline_data(media_type: str, data: str, param: str) -> JsonObject:
    """The part for base64 `data`. Raises InvalidRequest, with `param`, when there is none."""
    if not data:
        raise InvalidRequest(f'"{param}" holds no data.', code="invalid_value", param=param)
    return {"inlineData": {"mimeType": _ALIASES.get(media_type, media_type), "data": data}}


def _inline(uri: str, default_type: str, param: str) -> JsonObject:
    head, comma, data = uri[5:].partition(",")
    media_type, *options = [text.strip().lower() for text in head.split(";")]
    if not comma:
        raise InvalidRequest(f'"{param}" is not a data URI: it has no comma.', code="invalid_value", param=param)
    if "base64" not in options:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return inline_data(default_type if media_type in _UNKNOWN_TYPES else media_type, data, param)


def _host_and_path(url: str, param: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").rstrip("."), parts.path
    except ValueError:
        raise InvalidRequest(f'"{param}" is no address.', code="invalid_value", param=param) from None
