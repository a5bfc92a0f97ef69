"""Embeddings of Titan, Nova and Cohere models: texts in, vectors out, which the hub tells as numbers or as base64."""

from collections.abc import Mapping
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import NO_HEADERS, Frame
from dataplane.dialects.bedrock.answer import parse_answer
from dataplane.dialects.bedrock.content import unsupported
from dataplane.dialects.bedrock.errors import parse_error_object
from dataplane.dialects.bedrock.models import model_traits
from dataplane.dialects.bedrock.usage import parse_header_usage
from dataplane.dialects.hub import embedding_purpose, malformed, object_of, token_count, vector_base64
from dataplane.dialects.openai.mending import encode
from dataplane.errors import InvalidRequest, UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import Usage

EMBEDDINGS: Final = "embeddings"
MAX_TEXTS: Final = 96
_COHERE_EXTRAS: Final = ("embedding_types", "truncate", "max_tokens")
_NOVAS_PURPOSES: Final = {
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
_NOVAS_PURPOSE: Final = "GENERIC_INDEX"
_TRUNCATIONS: Final = frozenset(("START", "END", "NONE"))


def render_embeddings(body: JsonObject, model: str) -> JsonObject:
    """The body of the model's own format. Raises InvalidRequest for input that it does not take, and other models.

    For Cohere and Nova, what the vectors are for is told by the body's `input_type`; without it, they are for
    documents to be found. A profile whose name tells no vendor is taken for one of Cohere's where a call has that or
    several texts, else for one of Titan's.
    """
    texts = _texts(body.get("input"))
    is_profile = not model_traits(model).vendor
    if "cohere" in model or (is_profile and (body.get("input_type") or len(texts) > 1)):
        return _cohere(body, texts)
    if "titan" in model or is_profile:
        return _titan(body, _only_text(texts, "Titan"), model)
    if "nova" in model and "embed" in model:
        return _nova(body, _only_text(texts, "Nova"))
    raise InvalidRequest(
        f'The model "{model}" makes no embeddings here. Choose a Titan, a Nova or a Cohere embedding model.',
        code="unsupported_endpoint",
        param="model",
    )


def parse_embeddings(call: Call, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Frame:
    """The vectors as one frame. Raises UpstreamError when `body` holds none, which tells what was used all the same.

    Titan counts the tokens in its body; those of the others are in `headers` alone, and unknown where they are not.
    """
    usage = parse_header_usage(headers)
    try:
        payload = parse_answer(body)
        tokens = token_count(payload, "inputTextTokenCount")
        if tokens is not None:
            usage = Usage(input=tokens)
        return _frame(call, payload, usage)
    except UpstreamError as error:
        error.usage = usage
        raise


def _frame(call: Call, payload: JsonObject, usage: Usage | None) -> Frame:
    vectors = _vectors(payload)
    if call.body.get("encoding_format") == "base64":
        vectors = [vector_base64(vector) for vector in vectors]
    tokens = 0 if usage is None else usage.input_tokens
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)],
        "model": call.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Frame(encode(answer), usage=usage)


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise malformed("input", "a string, or a list of strings that is not empty")
    if not all(isinstance(text, str) for text in texts):
        raise unsupported("input", "more than strings", "Send texts, no tokens and no parts.")
    return texts


def _only_text(texts: list[str], family: str) -> str:
    if len(texts) > 1:
        raise unsupported("input", f"several texts at once for a {family} model", "Send one text in a call.")
    return texts[0]


def _nova(body: JsonObject, text: str) -> JsonObject:
    truncate = body.get("truncate")
    cut = truncate if isinstance(truncate, str) and truncate in _TRUNCATIONS else "NONE"
    params: JsonObject = {
        "embeddingPurpose": _NOVAS_PURPOSES.get(embedding_purpose(body), _NOVAS_PURPOSE),
        "text": {"truncationMode": cut, "value": text},
    }
    dimensions = body.get("dimensions")
    if dimensions is not None:
        params["embeddingDimension"] = dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


def _titan(body: JsonObject, text: str, model: str) -> JsonObject:
    rendered: JsonObject = {"inputText": text}
    dimensions, normalize = body.get("dimensions"), body.get("normalize")
    if "image" in model:
        return rendered if dimensions is None else rendered | {"embeddingConfig": {"outputEmbeddingLength": dimensions}}
    has_settings = "v1" not in model and "g1" not in model
    if dimensions is not None and has_settings:
        rendered["dimensions"] = dimensions
    if isinstance(normalize, bool) and has_settings:
        rendered["normalize"] = normalize
    return rendered


def _cohere(body: JsonObject, texts: list[str]) -> JsonObject:
    if len(texts) > MAX_TEXTS:
        raise malformed("input", f"a list of {MAX_TEXTS} texts at most for a Cohere model: send fewer in a call")
    rendered: JsonObject = {"texts": texts, "input_type": embedding_purpose(body)}
    dimensions = body.get("dimensions") or body.get("output_dimension")
    if dimensions is not None:
        rendered["output_dimension"] = dimensions
    return rendered | {name: body[name] for name in _COHERE_EXTRAS if body.get(name) is not None}


def _vectors(payload: JsonObject) -> list[Any]:
    """Titan's one vector, Nova's in objects, or Cohere's: a plain list of them, or told by type, floats first."""
    if isinstance(payload.get("embedding"), list):
        return [payload["embedding"]]
    told = payload.get("embeddings")
    if isinstance(told, list) and told and all(isinstance(item, dict) for item in told):
        told = [item.get("embedding") for item in told]
    by_type = object_of(told)
    for vectors in (told, by_type.get("float"), *by_type.values()):
        if isinstance(vectors, list) and all(isinstance(vector, list) for vector in vectors):
            return vectors
    if "embeddings" not in payload:
        raise parse_error_object(payload)
    raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no embeddings.")
