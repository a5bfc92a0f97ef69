"""Content of OpenAI's messages as Gemini's parts."""

from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import object_at, text_at
from dataplane.dialects.gemini.media import PDF, guess_type, inline_data, is_address, render_file
from dataplane.errors import InvalidRequest

_SOUND_TYPES = {"pcm16": "audio/pcm", "mpeg": "audio/mp3"}


def render_parts(content: Any, param: str) -> list[JsonObject]:
    """Parts of a message's content: text, a list of parts, or nothing; text without a character is left out.

    Raises InvalidRequest, with `param` and the position, for what is malformed or cannot be said.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise InvalidRequest(f'"{param}" must be text or a list of parts.', code="invalid_value", param=param)
    rendered = [_part(part, f"{param}[{at}]") for at, part in enumerate(content)]
    return [part for part in rendered if part.get("text") != ""]


def _part(part: Any, param: str) -> JsonObject:
    if not isinstance(part, dict):
        raise InvalidRequest(f'"{param}" must be an object.', code="invalid_value", param=param)
    match part.get("type"):
        case "text":
            return {"text": _text(part, "text", param)}
        case "refusal":
            return {"text": _text(part, "refusal", param)}
        case "image_url":
            return render_file(_url(part, "image_url", param), "image/jpeg", f"{param}.image_url")
        case "video_url":
            return render_file(_url(part, "video_url", param), "video/mp4", f"{param}.video_url")
        case "input_audio":
            return _sound(object_at(part, "input_audio"), f"{param}.input_audio")
        case "file":
            return _file(object_at(part, "file"), f"{param}.file")
        case kind:
            raise InvalidRequest(
                f'"{param}" has a type, {str(kind)[:64]!r}, that Gemini models cannot be sent.',
                code="unsupported_content",
                param=param,
            )


def _text(part: JsonObject, name: str, param: str) -> str:
    text = part.get(name)
    if not isinstance(text, str):
        raise InvalidRequest(f'"{param}.{name}" must be text.', code="invalid_value", param=f"{param}.{name}")
    return text


def _url(part: JsonObject, name: str, param: str) -> str:
    """The address under `name`, which is an object with a url, or as many clients have it the url itself."""
    value = part.get(name)
    return value if isinstance(value, str) else _text(object_at(part, name), "url", f"{param}.{name}")


def _sound(sound: JsonObject, param: str) -> JsonObject:
    named = text_at(sound, "format").lower() or "wav"
    return inline_data(_SOUND_TYPES.get(named, f"audio/{named}"), _text(sound, "data", param), f"{param}.data")


def _file(file: JsonObject, param: str) -> JsonObject:
    """A file by its data (a data URI, or bare base64), or by an address in place of an id."""
    data, address, filename = text_at(file, "file_data"), text_at(file, "file_id"), text_at(file, "filename")
    media_type = text_at(file, "format") or guess_type(filename, PDF)
    if data and is_address(data):
        return render_file(data, media_type, f"{param}.file_data")
    if data:
        return inline_data(media_type, data, f"{param}.file_data")
    if is_address(address):
        return render_file(address, media_type, f"{param}.file_id")
    raise InvalidRequest(
        f'"{param}" must hold "file_data", or as its "file_id" an address that Gemini can fetch from.',
        code="unsupported_content",
        param=param,
    )
