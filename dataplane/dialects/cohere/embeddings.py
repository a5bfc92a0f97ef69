"""Embeddings: texts in, vectors out, which the hub tells as lists of numbers or as base64 of their bytes."""

from typing import Any

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.cohere.content import invalid, unsupported
from dataplane.dialects.cohere.payload import parse_answer
from dataplane.dialects.cohere.usage import parse_embedding_usage
from dataplane.dialects.hub import embedding_purpose, vector_base64
from dataplane.dialects.openai.mending import encode
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target

MAX_TEXTS = 96
_EXTRAS = ("truncate", "max_tokens", "priority")


def render_embeddings(call: Call, target: Target) -> JsonObject:
    """Raises InvalidRequest for input that is not text, or more than MAX_TEXTS texts.

    What the vectors are for is told by the body's `input_type`; without it, they are for documents to be found.
    """
    body = call.body
    rendered: JsonObject = {
        "model": target.model,
        "texts": _texts(body.get("input")),
        "input_type": embedding_purpose(body),
        "embedding_types": ["float"],
    }
    dimensions = body.get("dimensions") or body.get("output_dimension")
    if dimensions is not None:
        rendered["output_dimension"] = dimensions
    return rendered | {name: body[name] for name in _EXTRAS if body.get(name) is not None}


def parse_embeddings(call: Call, body: bytes) -> Frame:
    """The vectors as one frame. Raises UpstreamError when `body` holds none."""
    payload = parse_answer(body)
    vectors = _vectors(payload.get("embeddings"))
    if call.body.get("encoding_format") == "base64":
        vectors = [vector_base64(vector) for vector in vectors]
    usage = parse_embedding_usage(payload.get("meta"))
    tokens = usage.input_tokens if usage is not None else 0
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
        raise invalid('The field "input" must be a string, or a list of strings that is not empty.', "input")
    if not all(isinstance(text, str) for text in texts):
        raise unsupported('The upstream takes only strings in "input", no tokens and no parts.', "input")
    if len(texts) > MAX_TEXTS:
        raise invalid(
            f'The field "input" has {len(texts)} texts, and the upstream takes {MAX_TEXTS} at most. '
            "Send fewer in one call.",
            "input",
        )
    return texts


def _vectors(embeddings: Any) -> list[Any]:
    """The vectors of an answer that tells them by their type, floats first, or as a plain list."""
    candidates = [embeddings]
    if isinstance(embeddings, dict):
        candidates = [embeddings.get("float"), *embeddings.values()]
    for vectors in candidates:
        if isinstance(vectors, list) and all(isinstance(vector, list) for vector in vectors):
            return vectors
    raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no embeddings.")
