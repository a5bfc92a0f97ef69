"""Rankings: forwarded to Cohere as they are, and brought to the same shape where others make them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Call
from dataplane.dialects.base import Dialect, Frame, ProviderSpec
from dataplane.dialects.cohere import CohereDialect
from dataplane.dialects.openai import OpenAIDialect
from dataplane.errors import InvalidRequest, UpstreamError
from dataplane.ingress.openai import ENDPOINTS
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM, make_call
from tests.golden.recordings import Recording, read_recordings
from tollway.kernel.usage import Usage

COHERE, OTHERS = CohereDialect(), OpenAIDialect()
PATHS = {"rerank": "/rerank"}
PROVIDER = ProviderSpec("jina", "openai", PATHS)
VOYAGE = ProviderSpec("voyage", "openai", PATHS, traits=frozenset({"voyage"}))
TARGET = Target(UPSTREAM, "ranker")
ENDPOINT = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "rerank")
BODY = {"model": "smart", "query": "q", "documents": ["a", {"text": "b"}, {"title": "c"}], "top_n": 2}
RECORDINGS = [recording for recording in read_recordings("rerank") if not recording.id.startswith("bedrock")]


def rerank_call(**body: Any) -> Call:
    return make_call(endpoint=ENDPOINT, body=BODY | body)


def render(dialect: Dialect, provider: ProviderSpec, **body: Any) -> dict[str, Any]:
    call = rerank_call(**body)
    before = json.dumps(call.body)
    sent: dict[str, Any] = json.loads(dialect.render_request(call, TARGET, provider).body)
    assert json.dumps(call.body) == before
    return sent


def parse(answer: Any, dialect: Dialect = OTHERS, **body: Any) -> Frame:
    return dialect.parse_result(rerank_call(**body), json.dumps(answer).encode())


@pytest.mark.parametrize("dialect", [COHERE, OTHERS])
def test_request_passes_value_for_value(dialect: Dialect) -> None:
    provider = ProviderSpec("x", "cohere", PATHS)
    assert render(dialect, provider, max_tokens_per_doc=9, extra={"a": 1}) == BODY | {
        "model": "ranker",
        "documents": ["a", "b", {"title": "c"}],
        "max_tokens_per_doc": 9,
        "extra": {"a": 1},
    }


def test_voyage_is_told_in_its_own_words() -> None:
    sent = render(OTHERS, VOYAGE, max_tokens_per_doc=9, return_documents=True)
    assert sent == {
        "model": "ranker",
        "query": "q",
        "documents": ["a", "b", {"title": "c"}],
        "top_k": 2,
        "return_documents": True,
    }
    assert render(OTHERS, VOYAGE, top_k=1)["top_k"] == 1


@pytest.mark.parametrize("documents", [None, 3, "a"])
def test_odd_documents_are_for_the_provider_to_refuse(documents: Any) -> None:
    assert render(OTHERS, PROVIDER, documents=documents)["documents"] == documents
    assert render(COHERE, PROVIDER, documents=documents)["documents"] == documents


def test_provider_without_rankings_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        OTHERS.render_request(rerank_call(), TARGET, ProviderSpec("x", "openai", {}))
    assert caught.value.error_code == "unsupported_endpoint"


def test_coheres_ranking_passes_as_it_came() -> None:
    body = b'{"results": [ ],"meta":{"billed_units":{"search_units":3.0}}}'
    frame = COHERE.parse_result(rerank_call(), body)
    assert (frame.data, frame.usage) == (body, Usage(search=3))
    assert COHERE.parse_result(rerank_call(), b'{"results":[]}').usage is None


def test_ranking_with_search_units_is_metered_by_them() -> None:
    meta = {"billed_units": {"search_units": 2}}
    frame = parse({"results": [], "meta": meta, "usage": {"total_tokens": 5}})
    assert frame.usage == Usage(search=2)
    assert json.loads(frame.data)["meta"] == meta


@pytest.mark.parametrize(
    ("wanted", "given", "told"),
    [
        (None, None, None),
        (None, {}, None),
        (None, {"text": "a"}, {"text": "a"}),
        (None, "a", {"text": "a"}),
        (False, {"text": "a"}, None),
        (True, None, {"text": "a"}),
        (True, {}, {"text": "a"}),
        (True, {"text": "other"}, {"text": "other"}),
    ],
)
def test_documents_are_there_where_they_were_asked_for(wanted: Any, given: Any, told: Any) -> None:
    result = {"index": 0, "relevance_score": 0.5} | ({} if given is None else {"document": given})
    answer = json.loads(parse({"results": [result]}, return_documents=wanted).data)
    assert answer["results"] == [{"index": 0, "relevance_score": 0.5} | ({} if told is None else {"document": told})]


def test_documents_of_the_request_stay_what_they_were() -> None:
    ranked = [{"index": at, "score": at} for at in (2, 1, 7, -1)]
    answer = json.loads(parse({"results": ranked}, return_documents=True).data)
    assert [result.get("document") for result in answer["results"]] == [{"title": "c"}, {"text": "b"}, None, None]
    assert [result["relevance_score"] for result in answer["results"]] == [2, 1, 7, -1]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r.id)
def test_recorded_rankings(recording: Recording) -> None:
    payload = json.loads(recording.body)
    dialect = COHERE if recording.api.startswith("cohere") else OTHERS
    documents = [f"document {at}" for at in range(9)]
    call = rerank_call(documents=documents, return_documents=True)
    frame = dialect.parse_result(call, recording.body)
    answer = json.loads(frame.data)
    ranked = [(result["index"], result["relevance_score"]) for result in payload.get("results", payload.get("data"))]
    assert [(result["index"], result["relevance_score"]) for result in answer["results"]] == ranked
    assert answer["id"]
    assert "data" not in answer
    if dialect is COHERE:
        assert frame.data == recording.body
        assert frame.usage == Usage(search=payload["meta"]["billed_units"]["search_units"])
    else:
        assert frame.usage == Usage(input=payload["usage"]["total_tokens"])
        assert answer["usage"] == payload["usage"]
        assert answer["meta"] == {"tokens": {"input_tokens": payload["usage"]["total_tokens"]}}
        assert frame.model == payload["model"]
        assert [result["document"] for result in answer["results"]] == [{"text": documents[at]} for at, _ in ranked]


NAMES = st.sampled_from(
    [
        "results",
        "data",
        "index",
        "document",
        "relevance_score",
        "score",
        "usage",
        "meta",
        "billed_units",
        "search_units",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=10,
)
ANSWERS = st.dictionaries(NAMES, JSON, max_size=4) | JSON


@given(ANSWERS, ANSWERS, st.sampled_from([None, True, False]), st.sampled_from([COHERE, OTHERS]))
def test_any_answer_is_a_ranking_or_an_upstream_error(
    answer: Any, documents: Any, wanted: bool | None, dialect: Dialect
) -> None:
    try:
        frame = parse(answer, dialect, documents=documents, return_documents=wanted)
    except UpstreamError as error:
        assert error.message
        return
    assert isinstance(json.loads(frame.data)["results"], list)
    assert all(quantity >= 0 for quantity in frame.usage or ())


def test_ranking_that_is_nested_too_deep_is_an_upstream_error() -> None:
    deep = b'{"results":[],"x":' + b"[" * 600 + b"]" * 600 + b"}"
    with pytest.raises(UpstreamError):
        OTHERS.parse_result(rerank_call(), deep)
