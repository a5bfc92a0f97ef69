"""What a grounded answer rests on: its sources as OpenAI's url_citation annotations, and the searches for them."""

from collections.abc import Iterable
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import index_at, object_at, objects_at, text_at

_QUERIES: Final = (("webSearchQueries", "web"), ("imageSearchQueries", "image"))
_SEARCH: Final = "GOOGLE_SEARCH_"


class Grounding:
    """Sources of one candidate, told at once or piece by piece.

    `queries` are the searches that were run, each with its kind and once; an empty one is none. `has_searched` says
    whether Google was searched at all.
    """

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self._supports: list[JsonObject] = []
        self.queries: set[tuple[str, str]] = set()
        self.has_searched = False

    def add(self, metadata: JsonObject) -> None:
        """Takes in a groundingMetadata; a later one repeats what an earlier one told, or goes on from there."""
        chunks, supports = metadata.get("groundingChunks"), objects_at(metadata, "groundingSupports")
        if isinstance(chunks, list):
            cited = max((at for support in supports for at in _indices(support)), default=-1)
            is_whole = chunks[: len(self._chunks)] == self._chunks and cited < len(chunks)
            self._chunks = chunks if is_whole else self._chunks + chunks
        is_whole = supports[: len(self._supports)] == self._supports
        self._supports = supports if is_whole else self._supports + supports
        self.has_searched = self.has_searched or bool(object_at(metadata, "searchEntryPoint"))
        for name, kind in _QUERIES:
            self._add_queries(kind, metadata.get(name))

    def add_call(self, call: JsonObject) -> None:
        """Takes in a toolCall, of which searches of Google's own are some."""
        kind = text_at(call, "toolType")
        if kind.startswith(_SEARCH):
            self._add_queries(kind.removeprefix(_SEARCH).lower(), object_at(call, "args").get("queries"))

    def _add_queries(self, kind: str, queries: Any) -> None:
        if isinstance(queries, list) and queries:
            self.has_searched = True
            self.queries.update((kind, query) for query in queries if isinstance(query, str) and query)

    def annotations(self, text: str) -> list[JsonObject]:
        """Citations of the web pages that support places of `text`: one for each place and page.

        Where no places are told, each page is cited once for the whole text.
        """
        pages = [object_at(chunk, "web") if isinstance(chunk, dict) else {} for chunk in self._chunks]
        if not self._supports:
            return [_citation(page, (0, len(text))) for page in pages if text_at(page, "uri")]
        encoded = text.encode()
        citations = []
        for support in self._supports:
            place = _place(object_at(support, "segment"), text, encoded)
            citations += [_citation(page, place) for page in _supporting(support, pages) if place]
        return citations


def count_searches(groundings: Iterable[Grounding], *, is_billed_by_query: bool) -> int:
    """Searches that Google bills for an answer: each query once, or one for a call that searched at all.

    Source: https://ai.google.dev/gemini-api/docs/google-search, "Pricing".
    """
    if is_billed_by_query:
        return len({query for grounding in groundings for query in grounding.queries})
    return int(any(grounding.has_searched for grounding in groundings))


def _indices(support: JsonObject) -> list[int]:
    indices = support.get("groundingChunkIndices")
    return [at for at in indices if type(at) is int and at >= 0] if isinstance(indices, list) else []


def _supporting(support: JsonObject, pages: list[JsonObject]) -> list[JsonObject]:
    return [pages[at] for at in _indices(support) if at < len(pages) and text_at(pages[at], "uri")]


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
