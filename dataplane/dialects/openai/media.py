"""Addresses of media that callers name, where the server that is asked fetches them itself. Pure."""

import ipaddress
import re
import unicodedata
from typing import Any, Final
from urllib.parse import unquote

from dataplane.call import JsonObject
from dataplane.errors import InvalidRequest
from tollway.resources.addresses import host_problem, is_private_host

FETCHES_MEDIA: Final = "fetches_media"
"""The trait of servers in an operator's own network that fetch whatever address a caller names."""
_PLACES: Final = ("messages", "documents", "input", "query")
"""Members with items, or with one alone."""
_MEDIA: Final = frozenset(("image_url", "video_url", "audio_url", "image", "video", "audio"))
_DATA: Final = "data:"
_SHOWN_CHARACTERS: Final = 200
_READ_CHARACTERS: Final = 4096
_BLANKS: Final = "".join(map(chr, range(0x21)))
_NO_LINES: Final = {ord(character): None for character in "\t\r\n"}
_WEB: Final = re.compile(r"https?:/*([^/?#]*)", re.IGNORECASE)
_AMBIGUOUS: Final = re.compile(r"[\\@\x00-\x20\x7f]")
"""What some readers of an address take for a part of its host, and others do not."""
_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f/\\?#@%\ud800-\udfff]")
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)", re.DOTALL)


def check_media(body: JsonObject) -> None:
    """Raises InvalidRequest where a part of `body` names media otherwise than by a public address or a data: URL.

    Names of hosts are not looked up: one that is public in form may still lead inside.
    """
    for place in _PLACES:
        items = body.get(place)
        if type(items) is list:
            for at, item in enumerate(items):
                if type(item) is dict and (type(item.get("content")) is list or not _MEDIA.isdisjoint(item)):
                    _check_item(item, f"{place}[{at}]")
        elif type(items) is dict:
            _check_item(items, place)


def _check_item(item: JsonObject, where: str) -> None:
    """Checks a message, or a document or an input that is more than a text."""
    _check_part(item, where)
    content = item.get("content")
    if type(content) is list:
        for at, part in enumerate(content):
            if type(part) is dict and not _MEDIA.isdisjoint(part):
                _check_part(part, f"{where}.content[{at}]")


def _check_part(part: JsonObject, where: str) -> None:
    for name in _MEDIA & part.keys():
        value = part[name]
        is_object = isinstance(value, dict)
        url: Any = value.get("url") if is_object else value
        if isinstance(url, str) and url and not url.startswith(_DATA):
            _check_url(url, f"{where}.{name}.url" if is_object else f"{where}.{name}")


def _check_url(url: str, param: str) -> None:
    """Raises InvalidRequest for all but public addresses: other schemes and bare paths lead to files of the server."""
    match = _WEB.match(url[:_READ_CHARACTERS].lstrip(_BLANKS).translate(_NO_LINES))
    if match is not None and not _AMBIGUOUS.search(match[1]) and is_public_host(_host(match[1])):
        return
    named = url if match is None else match[1]
    raise InvalidRequest(
        f'"{param}" names "{named[:_SHOWN_CHARACTERS]}", which is no public address. '
        "Send what is there itself, as a data: URL.",
        code="invalid_value",
        param=param,
    )


def _host(authority: str) -> str:
    """The host of `authority`, which may be in brackets and may have a port behind it, as resolvers read it."""
    host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    return unicodedata.normalize("NFKC", unquote(host)).replace("\N{IDEOGRAPHIC FULL STOP}", ".").rstrip(".").lower()


def is_public_host(host: str) -> bool:
    """Whether `host`, a name or an address in lower case, may be one of the public network, whoever reads it."""
    if _NO_HOST.search(host) or (_NUMBER.fullmatch(host) and not _is_canonical(host)):
        return False
    return not is_private_host(host) and host_problem(host) is None


def _is_canonical(host: str) -> bool:
    """Whether `host` is four decimal numbers, which everybody reads alike."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
