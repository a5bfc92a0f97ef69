"""The most that a model makes of a conversation: of its text, images and sound. Pure.

A byte-level tokenizer makes at most one token of a byte (Sennrich et al. 2016; Radford et al. 2019), so that the bytes
of all text bound the tokens of it. What a model makes of images and sound is bounded by what is published. All else
that a part of a message may be (files, videos, what a provider keeps) is bounded by nothing.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import splitext
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from dataplane.call import JsonObject

IMAGE_BOUND: Final = 48_169
"""The dearest image that is published: gpt-4o-mini in high detail, 2833 + 8 x 5667 tokens."""
IMAGE_EXPECTED: Final = 1_000
SOUND_BYTES_BOUND: Final = 23
"""Bytes of a token of sound: Gemini's 32 tokens a second, of at least 750 bytes (MP3 has 1,000 or more)."""
SOUND_PADDING_BOUND: Final = 375
"""Voxtral's 12.5 tokens a second, of the thirty seconds to a multiple of which it fills up what it hears."""
SOUND_BYTES_EXPECTED: Final = 400
SHOWN_CHARACTERS: Final = 64
_ENTRY_BYTES: Final = 12
_NUMBER_BYTES: Final = 24
_PUNCTUATION: Final = "{}"
_NO_PARTS: Final[frozenset[str]] = frozenset()
_PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(("text", "input_text", "output_text", "refusal", "connector_text"), _NO_PARTS),
        **dict.fromkeys(("thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"), _NO_PARTS),
        **dict.fromkeys(("tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "function"), _NO_PARTS),
        **dict.fromkeys(("tool_result", "mcp_tool_result"), _NO_PARTS),
        **dict.fromkeys(("message", "content", "search_result", "url_citation", "reference"), _NO_PARTS),
        **dict.fromkeys(("image", "image_url", "input_image"), frozenset(("image", "image_url", "source"))),
        "input_audio": frozenset(("input_audio",)),
        "document": frozenset(("source",)),
    }
)
"""Types of parts that have a bound, and of those that name what they hold the members of which they must have one."""
_IMAGE_PARTS: Final = ("image", "image_url", "input_image")
_IMAGE_DATA: Final = "data:image/"
_SCHEME: Final = re.compile(r"\s*[A-Za-z][\w+.-]*:\S")
_TEXT_SOURCES: Final = ("text", "content")
_IMAGE_TYPE: Final = re.compile(r"\s*image/[\w.+-]+\s*", re.ASCII | re.IGNORECASE)
_DATA: Final = re.compile(r"data:([^;,]*)", re.ASCII | re.IGNORECASE)
_SCHEMES: Final = ("https", "http", "")
_IMAGE_ENDINGS: Final = frozenset(
    (
        *("", ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif"),
    )
)
_MOST_URL_CHARACTERS: Final = 8_192
_SOUNDS: Final = (None, "wav", "mp3", "mpeg", "pcm", "pcm16", "g711_ulaw", "g711_alaw")
"""Forms of sound in which no second is short of bytes: FLAC, Opus, AAC and their like say silence in nearly none."""
_QUIET_SOUNDS: Final = ("ZkxhQ", "T2dnU", "GkXfo")
"""What FLAC, Ogg and Matroska begin with, in base64: such a file is no sound of another form, whatever is said."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/=_-]*")


@dataclass(slots=True)
class Content:
    """What values hold that a model is to read, as far as they have been measured.

    `text_bytes` are those of all that is made into tokens, but for images and sound, of which at most `media_bound`
    tokens are made, and `media_expected` as a rule. `tool_calls` are those of earlier turns. `unbounded` names a part
    that nothing bounds; "" where there is none.
    """

    text_bytes: int = 0
    media_bound: int = 0
    media_expected: int = 0
    tool_calls: int = 0
    unbounded: str = ""

    def add_messages(self, value: Any) -> None:
        """Adds `value`, messages or parts of them at any depth: text, images and sound as such."""
        pending = [value]
        total = 0
        while pending:
            item = pending.pop()
            if isinstance(item, str):
                total += len(item) if item.isascii() else _bytes_of(item)
            elif isinstance(item, dict):
                total += _ENTRY_BYTES * len(item)
                kind = item.get("type")
                if kind is not None and kind != "text":
                    self._judge_type(kind, item)
                for name, member in item.items():
                    total += len(name) if name.isascii() else _bytes_of(name)
                    if name in _JUDGED:
                        pending.append(_JUDGED[name](self, member, kind, name))
                    elif isinstance(member, str) and member.isascii():
                        total += len(member)
                    else:
                        pending.append(member)
            elif isinstance(item, list):
                total += _ENTRY_BYTES * len(item)
                pending.extend(item)
            elif isinstance(item, int | float):
                total += _NUMBER_BYTES
        self.text_bytes += total

    def add_data(self, name: str, value: Any) -> None:
        """Adds `value`, of a member `name` of a body that is no conversation: a document, say, in a form of its own.

        Whether images and sound in it are read as such is the provider's affair: they count besides being text.
        """
        self.text_bytes += text_bytes(value)
        if not isinstance(value, str | dict | list):
            return
        pending: list[Any] = [{name: value}]
        while pending:
            item = pending.pop()
            if isinstance(item, dict):
                pending += self._inner_data(item)
            elif isinstance(item, list):
                pending += item
            elif isinstance(item, str) and item[: len(_IMAGE_DATA)].lower() == _IMAGE_DATA:
                self.add_image(_IMAGE_DATA, is_image=True)

    def _inner_data(self, item: JsonObject) -> list[Any]:
        """Adds what members of `item` are images, sound and files by their names; returns all others, and the rest."""
        kind = item.get("type")
        if kind in _IMAGE_PARTS and _PARTS[kind].isdisjoint(item):
            self.add_image(kind, is_image=True)
        rest: list[Any] = []
        for name, member in item.items():
            if name in _JUDGED_IN_DATA:
                left = _JUDGED_IN_DATA[name](self, member, kind, name)
                rest += [part for part in (left if isinstance(left, list) else [left]) if not isinstance(part, str)]
            elif name not in _SCHEMAS:
                rest.append(member)
        return rest

    def _judge_type(self, kind: Any, part: JsonObject) -> None:
        """Notes a part of a type that has no bound, or that lacks what its type says that it holds."""
        if isinstance(kind, str):
            members = _PARTS.get(kind)
            if members is None or (members and members.isdisjoint(part)):
                self.note(kind)

    def note(self, part: str) -> None:
        """Takes in that `part`, or a part of that type, has no bound."""
        self.unbounded = self.unbounded or part[:SHOWN_CHARACTERS] or "type"

    def add_image(self, name: str, *, is_image: bool) -> None:
        """Adds what a member `name` holds as an image, which it may turn out not to be."""
        self.media_bound += IMAGE_BOUND
        self.media_expected += IMAGE_EXPECTED
        if not is_image:
            self.note(name)

    def add_sound(self, data: str) -> None:
        """Adds sound that is `data` in base64."""
        sound_bytes = len(data) * 3 // 4
        self.media_bound += SOUND_PADDING_BOUND - (-sound_bytes // SOUND_BYTES_BOUND)
        self.media_expected += -(-sound_bytes // SOUND_BYTES_EXPECTED)


def _plain(content: Content, member: Any, kind: Any, name: str) -> Any:
    """What the model wrote for tools, or is said about a part: text, whatever it looks like."""
    if name == "input" and kind == "tool_use":
        content.tool_calls += 1
    content.text_bytes += text_bytes(member)


def _calls(content: Content, member: Any, kind: Any, name: str) -> Any:
    content.tool_calls += len(member) if isinstance(member, list) else member is not None
    content.text_bytes += text_bytes(member)


def _file(content: Content, member: Any, kind: Any, name: str) -> Any:
    """What may be any number of tokens."""
    if member is not None:
        content.note(name)
    return member


def _file_or_words(content: Content, member: Any, kind: Any, name: str) -> Any:
    """A file, or a text that its name may as well be said of: one that is no address."""
    return None if isinstance(member, str) and not _SCHEME.match(member) else _file(content, member, kind, name)


def _image_url(content: Content, member: Any, kind: Any, name: str) -> Any:
    url = member.get("url") if isinstance(member, dict) else member
    if not isinstance(url, str):
        return _file(content, member, kind, name)
    content.add_image(name, is_image=_is_image(url))
    return None


def _image(content: Content, member: Any, kind: Any, name: str) -> Any:
    """An image in Converse's form, or its address alone, which may also be words about one."""
    if isinstance(member, str):
        content.add_image(name, is_image=_is_image(member))
        return member
    source = member.get("source") if isinstance(member, dict) else None
    if isinstance(source, dict) and source.keys() == {"bytes"} and isinstance(source["bytes"], str):
        content.add_image(name, is_image=True)
        return None
    return _file(content, member, kind, name)


def _images(content: Content, member: Any, kind: Any, name: str) -> Any:
    """Images that an answer held: parts, or their addresses alone."""
    for item in member if isinstance(member, list) else ():
        if isinstance(item, str):
            content.add_image(name, is_image=_is_image(item))
    return member


def _source(content: Content, member: Any, kind: Any, name: str) -> Any:
    """Where an image or a document in Anthropic's form is; in parts of other types it is text."""
    if kind not in ("image", "document") or not isinstance(member, dict):
        return member
    if kind == "image":
        url, media_type = member.get("url"), member.get("media_type")
        is_image = not isinstance(media_type, str) or _IMAGE_TYPE.fullmatch(media_type) is not None
        content.add_image(kind, is_image=is_image and (not isinstance(url, str) or _is_image(url)))
    elif member.get("type") in _TEXT_SOURCES:
        return member
    else:
        content.media_expected += IMAGE_EXPECTED
        content.note(kind)
    return None


def _sound(content: Content, member: Any, kind: Any, name: str) -> Any:
    """Sound in OpenAI's form, or as Mistral has it, its base64 alone."""
    sound = member if isinstance(member, dict) else {"data": member}
    data, form = sound.get("data"), sound.get("format")
    if not isinstance(data, str):
        return _file(content, member, kind, name)
    is_base64 = _BASE64.fullmatch(data[:SHOWN_CHARACTERS]) is not None
    is_known = (form.lower() if isinstance(form, str) else form) in _SOUNDS
    if not is_base64 or not is_known or data.startswith(_QUIET_SOUNDS):
        content.note(name)
    content.add_sound(data)
    return None


_Judge = Callable[[Content, Any, Any, str], Any]
"""Adds a member of a part of a type to content, by its name; returns what of it is still to be added."""
_JUDGED: Final[Mapping[str, _Judge]] = MappingProxyType(
    {
        "image_url": _image_url,
        "image": _image,
        "images": _images,
        "source": _source,
        "input_audio": _sound,
        **dict.fromkeys(("tool_calls", "function_call"), _calls),
        **dict.fromkeys(("input", "arguments", "function", "json", "data", "metadata"), _plain),
        **dict.fromkeys(("cache_control", "cachePoint", "citations", "reasoning_details", "caller"), _plain),
        **dict.fromkeys(("document", "video", "audio", "file", "pdf", "image_file", "image_pil"), _file),
        **dict.fromkeys(("document_url", "video_url", "audio_url", "file_url", "pdf_url"), _file),
        **dict.fromkeys(("file_id", "file_ids", "file_data", "fileData", "inlineData", "inline_data"), _file),
        **dict.fromkeys(("input_video", "input_file", "image_embeds", "audio_embeds", "video_embeds"), _file),
    }
)
_OWN_WORDS: Final = ("file", "audio", "video")
_JUDGED_IN_DATA: Final[Mapping[str, _Judge]] = MappingProxyType(
    {name: judge for name, judge in _JUDGED.items() if judge not in (_plain, _calls) and name != "document"}
    | dict.fromkeys(_OWN_WORDS, _file_or_words)
)
_SCHEMAS: Final = ("properties", "$defs", "definitions")
"""What is told of by name there is no content."""


def text_bytes(value: Any) -> int:
    """The most bytes of `value` as a model is given it: text as it is, all else as JSON, however that is spaced."""
    if isinstance(value, str):
        return _bytes_of(value)
    if not isinstance(value, dict | list):
        return _NUMBER_BYTES
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return _walked_bytes(value)
    return len(text) + _ENTRY_BYTES * (text.count(b",") + text.count(b"{") + text.count(b"["))


def _walked_bytes(value: Any) -> int:
    """As text_bytes, of what is too deep, or has text or numbers that are none of JSON's."""
    pending = [value]
    total = 0
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            total += len(json.dumps(item))
        elif isinstance(item, dict | list):
            total += (_ENTRY_BYTES + len(_PUNCTUATION)) * len(item) + len(_PUNCTUATION)
            pending.extend(item)
            pending.extend(item.values() if isinstance(item, dict) else ())
        elif isinstance(item, int):
            total += max(_NUMBER_BYTES, item.bit_length() // 3 + 2)
        else:
            total += _NUMBER_BYTES
    return total


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _is_image(url: str) -> bool:
    """Whether what is at or in `url` is an image, by all that it tells: its media type, or how its path ends."""
    if data := _DATA.match(url):
        return _IMAGE_TYPE.fullmatch(data[1]) is not None
    if len(url) > _MOST_URL_CHARACTERS:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and splitext(parts.path)[1].lower() in _IMAGE_ENDINGS
