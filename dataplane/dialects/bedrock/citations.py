"""What an answer rests on, as OpenAI's url_citation annotations."""

from typing import Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import object_of, text_of

_ADDRESSES: Final = ("https://", "http://")


def annotation(citation: JsonObject, start: int, end: int) -> JsonObject | None:
    """The annotation of the text between `start` and `end`, in characters; None for what has no address on the web.

    Such are pages of the web, and results of a search that the client gave with their addresses; not documents.
    """
    web = object_of(object_of(citation.get("location")).get("web"))
    url = text_of(web.get("url")) or text_of(citation.get("source"))
    if not url.startswith(_ADDRESSES):
        return None
    title = text_of(citation.get("title")) or text_of(web.get("domain"))
    return {
        "type": "url_citation",
        "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title},
    }
