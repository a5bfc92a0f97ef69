"""Rankings by providers that speak the shape of Jina and Cohere, which is the hub's, or Voyage's variant of it."""

from typing import Any, Final

import orjson

from dataplane.call import Call, JsonObject, UpstreamRequest
from dataplane.dialects.base import Frame, ProviderSpec
from dataplane.dialects.openai.media import FETCHES_MEDIA, check_media
from dataplane.dialects.openai.quirks import adapt_body
from dataplane.dialects.openai.response import parse_answer
from dataplane.dialects.openai.usage import parse_usage
from dataplane.dialects.requests import upstream_request
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target
from tollway.kernel.usage import Usage

VOYAGE: Final = "voyage"
"""The trait of providers that call `top_n` top_k."""
_MOST_UNITS = 10**9


def render_rerank(call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
    """Every value of the client's body but `model`; a document that is only a text is sent as that text.

    Raises InvalidRequest for media at addresses that are not public, where `provider` would fetch them.
    """
    if FETCHES_MEDIA in provider.traits:
        check_media(call.body)
    body = {**call.body, **plain_documents(call.body), "model": target.model}
    if VOYAGE in provider.traits:
        most = body.pop("top_n", None)
        body.pop("max_tokens_per_doc", None)
        if most is not None:
            body.setdefault("top_k", most)
    return upstream_request(call, target, provider, adapt_body(body, provider))


def plain_documents(body: JsonObject) -> JsonObject:
    """The `documents` of a request, each {"text": ...} as the text that it is; empty where there is no list of them."""
    documents = body.get("documents")
    return {"documents": [_plain(document) for document in documents]} if isinstance(documents, list) else {}


def parse_rerank(call: Call, body: bytes) -> Frame:
    """The ranking as one frame in the hub's shape: `results` in the order given, `usage` and `meta` as far as told.

    Documents are in it where the client asked for them, and are never in it where it asked for none. Raises
    UpstreamError when `body` is no ranking, or an error under a good status.
    """
    payload = parse_answer(body, "results", "data")
    results = payload.get("results", payload.get("data"))
    if not isinstance(results, list):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no ranking.")
    usage = _usage(payload)
    model = payload.get("model")
    answer = {name: value for name, value in payload.items() if name != "data"}
    answer.setdefault("id", call.request_id)
    answer["results"] = [_result(result, call.body) for result in results if isinstance(result, dict)]
    answer["meta"] = _meta(payload.get("meta"), usage)
    return Frame(_encoded(answer), model=model if isinstance(model, str) else "", usage=usage)


def _plain(document: Any) -> Any:
    is_plain = isinstance(document, dict) and document.keys() == {"text"} and isinstance(document["text"], str)
    return document["text"] if is_plain else document


def _result(result: JsonObject, asked: JsonObject) -> JsonObject:
    """One place of the ranking, with the document that it ranks as the client asked for it."""
    ranked = {name: value for name, value in result.items() if name not in ("document", "score")}
    if "relevance_score" not in ranked and "score" in result:
        ranked["relevance_score"] = result["score"]
    wanted = asked.get("return_documents")
    if wanted is False:
        return ranked
    document = result.get("document") or (_asked_document(result.get("index"), asked) if wanted else None)
    if document:
        ranked["document"] = {"text": document} if isinstance(document, str) else document
    return ranked


def _asked_document(index: Any, asked: JsonObject) -> Any:
    """The document of the request at `index`; None where it has none there."""
    documents = asked.get("documents")
    if type(index) is not int or not isinstance(documents, list):
        return None
    return documents[index] if 0 <= index < len(documents) else None


def _usage(payload: JsonObject) -> Usage | None:
    """Search units, where the provider bills by them, else tokens."""
    meta = payload.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    units = billed.get("search_units") if isinstance(billed, dict) else None
    if type(units) is int and 0 < units <= _MOST_UNITS:
        return Usage(search=units)
    return parse_usage(payload.get("usage"), has_output=False)


def _meta(meta: Any, usage: Usage | None) -> JsonObject:
    """What the provider said of the ranking, with the tokens that it read where they are known."""
    said: JsonObject = dict(meta) if isinstance(meta, dict) else {}
    if usage is not None and usage.input_tokens:
        said.setdefault("tokens", {"input_tokens": usage.input_tokens})
    return said


def _encoded(answer: JsonObject) -> bytes:
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is nested too deep.") from error
