"""Rankings, whose form in the hub is Cohere's own: forwarded value for value, answered with the bytes that came."""

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.cohere.payload import parse_answer
from dataplane.dialects.cohere.usage import parse_search_usage
from dataplane.dialects.openai.rerank import plain_documents
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target


def render_rerank(call: Call, target: Target) -> JsonObject:
    """Every value of the client's body but `model`; a document that is only a text is sent as that text."""
    return {**call.body, **plain_documents(call.body), "model": target.model}


def parse_rerank(body: bytes) -> Frame:
    """The ranking as one frame. Raises UpstreamError when it is none, or an error under a good status."""
    payload = parse_answer(body)
    if not isinstance(payload.get("results"), list):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no ranking.")
    return Frame(body, usage=parse_search_usage(payload.get("meta")))
