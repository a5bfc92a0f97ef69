"""Sources of a grounded answer as OpenAI's url_citation annotations."""

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import index_at, object_at, objects_at, text_at


def render_annotations(grounding: JsonObject, text: str) -> list[JsonObject]:
    """Citations of the web pages that support places of `text`: one for each place and page.

    Where no places are told, each page is cited once for the whole text.
    """
    chunks = grounding.get("groundingChunks")
    pages = [object_at(chunk, "web") for chunk in chunks if isinstance(chunk, dict)] if isinstance(chunks, list) else []
    supports = objects_at(grounding, "groundingSupports")
    if not supports:
        return [_citation(page, (0, len(text))) for page in pages if text_at(page, "uri")]
    encoded = text.encode()
    citations = []
    for support in supports:
        place = _place(object_at(support, "segment"), text, encoded)
        citations += [_citation(page, place) for page in _supporting(support, pages) if place]
    return citations


def _supporting(support: JsonObject, pages: list[JsonObject]) -> list[JsonObject]:
    indices = support.get("groundingChunkIndices")
    known = [at for at in indices if type(at) is int and 0 <= at < len(pages)] if isinstance(indices, list) else []
    return [pages[at] for at in known if text_at(pages[at], "uri")]


def _place(segment: JsonObject, text: str, encoded: bytes) -> tuple[int, int] | None:
    """First and last character of a segment, whose own numbers count bytes of one part; None when it is not found."""
    start, said = index_at(segment, "startIndex", 0), text_at(segment, "text")
    end = index_at(segment, "endIndex", start)
    if said and encoded[start:end] != said.encode():
        at = text.find(said)
        return None if at < 0 else (at, at + len(said))
    if start > end or end > len(encoded):
        return None
    first = len(encoded[:start].decode(errors="ignore"))
    return first, first + len(encoded[start:end].decode(errors="ignore"))


def _citation(page: JsonObject, place: tuple[int, int] | None) -> JsonObject:
    start, end = place or (0, 0)
    cited = {"url": text_at(page, "uri"), "title": text_at(page, "title"), "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}
