"""Rankings by models of Cohere's and Amazon's, in the shape that the hub has of Cohere: documents in, places out."""

from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.bedrock.content import unsupported
from dataplane.dialects.bedrock.errors import parse_error_object
from dataplane.dialects.bedrock.models import model_traits
from dataplane.dialects.hub import malformed
from dataplane.dialects.openai.mending import encode
from dataplane.dialects.openai.rerank import parse_rerank as parse_hub_rerank
from dataplane.dialects.openai.rerank import plain_documents
from dataplane.errors import InvalidRequest

RERANK: Final = "rerank"
_COHERES_VERSION: Final = 2
_DOCUMENTS_PER_SEARCH: Final = 100
_BYTES_PER_PART: Final = 510
"""The fewest that 510 tokens have: a document of more, the query with it, is taken apart, and each part is counted.

https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-pricing.html
"""


def render_rerank(body: JsonObject, model: str) -> JsonObject:
    """The body of the model's own format. Raises InvalidRequest for documents that are not text, and other models.

    A profile whose name tells no vendor is taken for one of Cohere's.
    """
    vendor = model_traits(model).vendor
    if vendor and RERANK not in model:
        raise InvalidRequest(
            f"The model \"{model}\" ranks nothing here. Choose a model of Cohere's or Amazon's that does.",
            code="unsupported_endpoint",
            param="model",
        )
    query = body.get("query")
    if not isinstance(query, str) or not query:
        raise malformed("query", "text")
    rendered: JsonObject = {"query": query, "documents": _documents(body)}
    extras = ["top_n"]
    if vendor in ("cohere", ""):
        rendered["api_version"] = _COHERES_VERSION
        extras.append("max_tokens_per_doc")
    return rendered | {name: body[name] for name in extras if body.get(name) is not None}


def parse_rerank(call: Call, payload: JsonObject) -> Frame:
    """The ranking as one frame. Raises UpstreamError when `payload` is none.

    What it costs is not told: it is estimated, at no less than what can be billed.
    """
    results = payload.get("results")
    if not isinstance(results, list):
        raise parse_error_object(payload)
    answer = {
        "results": [_place(result) for result in results if isinstance(result, dict)],
        "meta": {"billed_units": {"search_units": _searches(call.body)}},
    }
    frame = parse_hub_rerank(call, encode(answer))
    frame.is_estimate = True
    return frame


def _documents(body: JsonObject) -> list[str]:
    documents = plain_documents(body).get("documents")
    if not documents:
        raise malformed("documents", "a list of texts that is not empty")
    for at, document in enumerate(documents):
        if not isinstance(document, str):
            raise unsupported(f"documents[{at}]", "more than a text", "Send texts.")
    return list(documents)


def _place(result: JsonObject) -> JsonObject:
    return {"index": result.get("index"), "relevance_score": _score(result)}


def _score(result: JsonObject) -> Any:
    """The relevance, of which Bedrock's two ways to a ranking each have their own spelling."""
    return result.get("relevance_score", result.get("relevanceScore"))


def _searches(body: JsonObject) -> int:
    """The most searches that are billed: one for each hundred documents, of which long ones are several."""
    documents, query_bytes = plain_documents(body).get("documents") or [""], _size(body.get("query"))
    parts = sum(max(1, -(-(query_bytes + _size(document)) // _BYTES_PER_PART)) for document in documents)
    return -(-parts // _DOCUMENTS_PER_SEARCH)


def _size(text: Any) -> int:
    return len(text.encode(errors="surrogatepass")) if isinstance(text, str) else 0
