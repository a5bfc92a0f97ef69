"""Embeddings: OpenAI's request and answer, and those of Google's two places."""

import base64
import struct
from typing import Any

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.gemini.errors import parse_answers
from dataplane.dialects.gemini.fields import number_at, object_at, objects_at
from dataplane.errors import InvalidRequest, UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import Usage


def render_embeddings(body: JsonObject, model: str, is_vertex: bool) -> JsonObject:
    """What asks for the embeddings of a body's `input`. Raises InvalidRequest for anything but text."""
    texts, dimensions, task = _texts(body.get("input")), body.get("dimensions"), _task(body)
    if is_vertex:
        kind: JsonObject = {} if task is None else {"task_type": task}
        parameters = {} if dimensions is None else {"parameters": {"outputDimensionality": dimensions}}
        return {"instances": [{"content": text} | kind for text in texts]} | parameters
    named, settings = {"model": f"models/{model}"}, _settings(body)
    return {"requests": [named | _content(text) | settings for text in texts]}


def render_embedding(body: JsonObject) -> JsonObject:
    """What asks for the embedding of a body's `input` where one text is all that a call can hold.

    Raises InvalidRequest for more of them, and for anything but text.
    """
    texts = _texts(body.get("input"))
    if len(texts) > 1:
        raise InvalidRequest(
            "This model embeds one text in a call at Vertex AI: send each text in a call of its own.",
            code="unsupported_content",
            param="input",
        )
    settings = _settings(body)
    return _content(texts[0]) | ({"embedContentConfig": settings} if settings else {})


def parse_embeddings(call: Call, body: bytes) -> Frame:
    """The answer in OpenAI's format, in base64 where `call` asks for it. Raises UpstreamError when it is not one."""
    (answer, *_) = parse_answers(body)
    vectors = _vectors(answer)
    tokens = _token_count(answer)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, call)}
        for index, vector in enumerate(vectors)
    ]
    result = {
        "object": "list",
        "data": data,
        "model": call.model,
        "usage": {"prompt_tokens": tokens or 0, "total_tokens": tokens or 0},
    }
    return Frame(orjson.dumps(result), usage=None if tokens is None else Usage(input=tokens))


def _content(text: str) -> JsonObject:
    return {"content": {"parts": [{"text": text}]}}


def _task(body: JsonObject) -> Any:
    return body.get("task_type", body.get("taskType"))


def _settings(body: JsonObject) -> JsonObject:
    told = {"taskType": _task(body), "outputDimensionality": body.get("dimensions")}
    return {name: value for name, value in told.items() if value is not None}


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    if isinstance(texts, list) and texts:
        raise InvalidRequest(
            "Gemini models embed text: send strings in place of tokens.", code="unsupported_content", param="input"
        )
    raise InvalidRequest('The field "input" must be text, or a list of texts.', code="invalid_value", param="input")


def _vectors(answer: JsonObject) -> list[list[float]]:
    """Vectors of either place, in order of the texts."""
    embeddings = objects_at(answer, "embeddings")
    embeddings += [object_at(prediction, "embeddings") for prediction in objects_at(answer, "predictions")]
    if single := object_at(answer, "embedding"):
        embeddings.append(single)
    if not embeddings:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no embedding.")
    return [_vector(embedding.get("values")) for embedding in embeddings]


def _vector(values: Any) -> list[float]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds an embedding that is no vector.")
    return values


def _encoded(vector: list[float], call: Call) -> str | list[float]:
    """`vector` as it is, or as base64 of little-endian 32-bit floats."""
    if call.body.get("encoding_format") != "base64":
        return vector
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (OverflowError, struct.error) as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's embedding has numbers too large.") from error


def _token_count(answer: JsonObject) -> int | None:
    """Tokens of all texts; None where the answer does not tell."""
    reported = number_at(object_at(answer, "usageMetadata"), "promptTokenCount")
    if reported is None:
        statistics = [
            object_at(object_at(prediction, "embeddings"), "statistics")
            for prediction in objects_at(answer, "predictions")
        ]
        counts = [count for found in statistics if (count := number_at(found, "token_count")) is not None]
        reported = sum(counts) if counts else None
    return None if reported is None or not 0 <= reported < 1e9 else int(reported)
