"""Blocks of text, images and documents, as clients send them in Anthropic's format, as parts of the hub's content.

Content that the hub has no form for raises InvalidRequest.
"""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.client_errors import invalid, unsupported
from dataplane.dialects.anthropic.client_fields import blocks_at, marker_of, text_at

SHOWN_CHARACTERS: Final = 64


def parts_of(block: JsonObject, param: str) -> list[JsonObject]:
    """The parts of content that a block of a user's is; its marker is on the last of them."""
    match block["type"]:
        case "document":
            parts = _document_parts(block, param)
        case "search_result":
            found = [
                part["text"]
                for where, item in blocks_at(block.get("content"), f"{param}.content")
                for part in text_parts(item, where)
            ]
            parts = [_text_part(block.get("title"), block.get("source"), *found)]
        case "image":
            parts = [_image_part(block.get("source"), f"{param}.source")]
        case _:
            return text_parts(block, param)
    return [*parts[:-1], *(part | marker_of(block) for part in parts[-1:])]


def text_parts(block: JsonObject, param: str) -> list[JsonObject]:
    """The one part that a block of text is; blocks of other types are refused."""
    if block["type"] != "text":
        raise unsupported_block(block["type"], param)
    return [{"type": "text", "text": text_at(block.get("text"), f"{param}.text"), **marker_of(block)}]


def _text_part(*texts: Any) -> JsonObject:
    return {"type": "text", "text": "\n\n".join(text for text in texts if isinstance(text, str) and text)}


def _image_part(source: Any, param: str) -> JsonObject:
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}
        case {"type": "url", "url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case _:
            raise _bad_source(source, param)


def _document_parts(block: JsonObject, param: str) -> list[JsonObject]:
    """A file, or the texts and images that a document is made of; what it is called and about comes first."""
    source, where = block.get("source"), f"{param}.source"
    title, about = block.get("title"), block.get("context")
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            parts = [_file_part(f"data:{media_type};base64,{data}", title)]
        case {"type": "url", "url": str(url)}:
            parts = [_file_part(url, title)]
        case {"type": "text", "data": str(text)}:
            return [_text_part(title, about, text)]
        case {"type": "content", "content": content}:
            parts = []
            for inner, item in blocks_at(content, f"{where}.content"):
                is_image = item["type"] == "image"
                source_param = f"{inner}.source"
                parts += [_image_part(item.get("source"), source_param)] if is_image else text_parts(item, inner)
            about = _text_part(title, about)["text"]
        case _:
            raise _bad_source(source, where)
    return [_text_part(about), *parts] if isinstance(about, str) and about else parts


def _file_part(data: str, title: Any) -> JsonObject:
    filename = title if isinstance(title, str) and title else "document.pdf"
    return {"type": "file", "file": {"filename": filename, "file_data": data}}


def _bad_source(source: Any, param: str) -> Exception:
    if isinstance(source, dict) and source.get("type") == "file":
        return unsupported(param, "a file that is kept at Anthropic", "Send its content instead.")
    return invalid(param, "a source with all that its type needs")


def unsupported_block(kind: str, param: str) -> Exception:
    """The error of a block of a type that the hub has no form for."""
    return unsupported(param, f'content of the type "{kind[:SHOWN_CHARACTERS]}"')


def content_of(parts: list[JsonObject]) -> str | list[JsonObject]:
    """`parts`, or the text that a single one without a marker is, which more providers take."""
    if not parts:
        return ""
    text = parts[0].get("text")
    return text if len(parts) == 1 and isinstance(text, str) and "cache_control" not in parts[0] else parts
