"""Embeddings by Cohere: texts out, vectors back as numbers or as base64 of their bytes."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Call
from dataplane.dialects.base import Frame, ProviderSpec
from dataplane.dialects.cohere import CohereDialect
from dataplane.errors import InvalidRequest, UpstreamError
from dataplane.ingress.openai import ENDPOINTS
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM, make_call
from tollway.kernel.usage import Usage

DIALECT = CohereDialect()
PROVIDER = ProviderSpec("cohere", "cohere", {"embeddings": "/v2/embed"})
TARGET = Target(UPSTREAM, "embed-v4.0")
ENDPOINT = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "embeddings")
META = {"billed_units": {"input_tokens": 7, "image_tokens": 0}}


def embedding_call(**body: Any) -> Call:
    return make_call(endpoint=ENDPOINT, body=body)


def render(**body: Any) -> dict[str, Any]:
    request = DIALECT.render_request(embedding_call(**body), TARGET, PROVIDER)
    assert request.url.endswith("/v2/embed")
    sent: dict[str, Any] = json.loads(request.body)
    return sent


def parse(answer: Any, **body: Any) -> Frame:
    return DIALECT.parse_result(embedding_call(**body), json.dumps(answer).encode())


def test_one_text_with_what_cohere_must_be_told() -> None:
    assert render(input="a", user="u") == {
        "model": "embed-v4.0",
        "texts": ["a"],
        "input_type": "search_document",
        "embedding_types": ["float"],
    }


def test_settings_of_both_formats() -> None:
    sent = render(
        input=["a", "b"],
        input_type="search_query",
        dimensions=256,
        truncate="END",
        encoding_format="base64",
        embedding_types=["int8"],
        images=["data:"],
    )
    assert sent == {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 256,
        "truncate": "END",
    }


@pytest.mark.parametrize(
    ("said", "purpose"),
    [
        ({"input_type": "classification"}, "classification"),
        ({"input_type": "clustering"}, "clustering"),
        ({"input_type": "document"}, "search_document"),
        ({"input_type": "query"}, "search_query"),
        ({"input_type": "RETRIEVAL_QUERY"}, "search_query"),
        ({"task_type": "QUESTION_ANSWERING"}, "search_query"),
        ({"taskType": "CLUSTERING"}, "clustering"),
        ({"input_type": "image"}, "search_document"),
        ({"input_type": "poem"}, "search_document"),
        ({"input_type": ["query"]}, "search_document"),
    ],
)
def test_what_embeddings_are_for_is_told_in_coheres_words(said: dict[str, Any], purpose: str) -> None:
    assert render(input="a", **said)["input_type"] == purpose


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (None, "invalid_value"),
        ([], "invalid_value"),
        ({"a": 1}, "invalid_value"),
        (["a"] * 97, "invalid_value"),
        ([1, 2], "unsupported_content"),
        ([[1, 2]], "unsupported_content"),
        ([{"type": "text", "text": "a"}], "unsupported_content"),
    ],
)
def test_input_that_cohere_does_not_take_is_refused(texts: Any, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        render(input=texts)
    assert (caught.value.error_code, caught.value.param) == (code, "input")


def test_as_many_texts_as_there_may_be() -> None:
    assert len(render(input=["a"] * 96)["texts"]) == 96


@pytest.mark.parametrize("embeddings", [{"float": [[0.5, -1.0], [2, 0.25]]}, [[0.5, -1.0], [2, 0.25]]])
def test_vectors_of_either_version(embeddings: Any) -> None:
    frame = parse({"id": "x", "embeddings": embeddings, "meta": META})
    assert json.loads(frame.data) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [2, 0.25]},
        ],
        "model": "smart",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert frame.usage == Usage(input=7)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_vectors_as_base64_of_little_endian_floats(vector: list[float]) -> None:
    frame = parse({"embeddings": {"float": [vector]}}, encoding_format="base64")
    told = json.loads(frame.data)["data"][0]["embedding"]
    assert list(struct.unpack(f"<{len(vector)}f", base64.b64decode(told))) == vector
    assert frame.usage is None


@pytest.mark.parametrize("meta", [None, 3, {}, {"billed_units": {"images": 1}}, {"billed_units": {"input_tokens": -1}}])
def test_usage_that_is_not_told_is_unknown(meta: Any) -> None:
    assert parse({"embeddings": [[1]], "meta": meta}).usage is None


@pytest.mark.parametrize(
    "answer", [{}, [], {"embeddings": 3}, {"embeddings": {"float": [3]}}, {"embeddings": [["a"]]}, {"message": "no"}]
)
def test_answers_without_vectors_are_errors(answer: Any) -> None:
    with pytest.raises(UpstreamError):
        parse(answer, encoding_format="base64")
